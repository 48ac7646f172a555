/**
 * Requests as they are recorded: an object of fixed size that names the head of the conversation, so that a long one is not written down
 * again with each call. The canonical request follows from it, byte for byte.
 */
import { getBytes, getItem, type Item, itemLinks, putBytes } from "../scope/thread.ts";
import { decodeJson, encodeJson, link, target } from "../trace/bytes.ts";
import type { Json, Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { type Canonical, joined, type Members } from "./protocol.ts";

/** `json` object that the intent of a model step names. Has what every recorded request has (`agent/request.ts`), and more. */
export interface RecordedRequest {
  type: "request";
  v: 1;
  api: string;
  model: string;
  /** Canonical JSON, as bytes. */
  system: Link;
  tools: Link;
  params: Link;
  /** Head of the conversation; null for an empty one. */
  items: Link | null;
  /** Newest of the messages that the client tells otherwise than the conversation has them. */
  edits?: Link;
}

/** One message that a client tells otherwise: at its place in the conversation. `before` names the next older one. */
export interface Edit {
  type: "edit";
  v: 1;
  before: Link | null;
  at: number;
  item: Link;
}

const putJson = async (store: EmbeddedStore, value: unknown): Promise<Link> =>
  link("json", await store.objects.put(encodeJson(value)));

export const putEdit = (store: EmbeddedStore, before: Link | null, at: number, item: Link): Promise<Link> => {
  const edit: Edit = { type: "edit", v: 1, before, at, item };
  return putJson(store, edit);
};

/** What of a request stays the same from call to call, and whether it is the same. */
export interface Asked {
  system: Link;
  tools: Link;
}

export async function putAsked(store: EmbeddedStore, request: Canonical): Promise<Asked> {
  return {
    system: await putBytes(store, encodeJson(request.system)),
    tools: await putBytes(store, encodeJson(request.tools)),
  };
}

/** Stores what a request is made of, and gives the object that stands for it. Written at return. */
export async function recordRequest(
  store: EmbeddedStore,
  request: Canonical,
  { system, tools }: Asked,
  items: Link | null,
  edits: Link | null,
): Promise<Link> {
  const recorded: RecordedRequest = {
    type: "request",
    v: 1,
    api: request.api,
    model: request.model,
    system,
    tools,
    params: await putBytes(store, encodeJson(request.params)),
    items,
    ...(edits && { edits }),
  };
  return putJson(store, recorded);
}

const readJson = async (store: EmbeddedStore, of: Link): Promise<Json> => decodeJson(await getBytes(store, of));

export async function readRequest(store: EmbeddedStore, of: Link): Promise<RecordedRequest> {
  const value = (await readJson(store, of)) as unknown as RecordedRequest;
  if (value?.type !== "request" || typeof value.api !== "string")
    throw new Error(`The object ${target(of).slice(0, 12)} is no request of the gateway.`);
  return value;
}

/** The messages that a client told otherwise, by their places. */
export async function readEdits(store: EmbeddedStore, newest: Link | null | undefined): Promise<Map<number, Link>> {
  const edits = new Map<number, Link>();
  for (let at = newest ?? null; at; ) {
    const edit = (await readJson(store, at)) as unknown as Edit;
    if (!edits.has(edit.at)) edits.set(edit.at, edit.item);
    at = edit.before;
  }
  return edits;
}

/** The canonical request. */
export async function requestOf(store: EmbeddedStore, of: Link): Promise<Canonical> {
  const { api, model, system, tools, params, items, edits } = await readRequest(store, of);
  const told = await readEdits(store, edits);
  const links = (await itemLinks(store, { items, shell: null })).map((each, at) => told.get(at) ?? each);
  return {
    api,
    model,
    system: await readJson(store, system),
    tools: await readJson(store, tools),
    params: (await readJson(store, params)) as Members,
    messages: joined(await Promise.all(links.map((each): Promise<Item> => getItem(store, each)))),
  };
}
