/**
 * Requests as they are recorded. A request repeats the whole conversation, so its step names an object of fixed size instead: the head
 * of the conversation's list, and what else was said. The bytes follow from it.
 */

import { getBytes, itemsOf, putBytes } from "../scope/thread.ts";
import { decodeJson, encodeJson, link, parseLink, target } from "../trace/bytes.ts";
import type { Json, Link, Session } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import type { ModelRequest, Params, ToolSpec } from "./model.ts";

/** `json` object that a model step's intent names. */
export interface RecordedRequest {
  type: "request";
  v: 1;
  model: string;
  /** The instruction, as bytes. */
  system: Link;
  /** The tools, as canonical JSON. */
  tools: Link;
  /** Head of the conversation; null for an empty one. */
  items: Link | null;
  /** What else is asked, as canonical JSON; absent where nothing is. */
  params?: Link;
}

/** What of a request stays the same from turn to turn. */
export interface Asking {
  model: string;
  system: string;
  tools: readonly ToolSpec[];
  params?: Params;
}

/** Stores what a request is made of, and gives the object that stands for it. Written at return. */
export async function recordRequest(store: EmbeddedStore, asking: Asking, items: Link | null): Promise<Link> {
  const system = await putBytes(store, Buffer.from(asking.system));
  const tools = await putBytes(store, encodeJson(asking.tools));
  const params = asking.params && { params: await putBytes(store, encodeJson(asking.params)) };
  const recorded: RecordedRequest = { type: "request", v: 1, model: asking.model, system, tools, items, ...params };
  return link("json", await store.objects.put(encodeJson(recorded)));
}

export async function readRequest(store: EmbeddedStore, of: Link): Promise<RecordedRequest> {
  const bytes = await store.objects.get(target(of));
  if (!bytes)
    throw new Error(`The request ${target(of).slice(0, 12)} is missing from the store: run \`shepherd fsck\`.`);
  const value = decodeJson(bytes);
  if (!isRequest(value)) throw new Error(`The object ${target(of).slice(0, 12)} is no request: run \`shepherd fsck\`.`);
  return value as unknown as RecordedRequest;
}

const isObject = (value: Json): value is { [key: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isRequest = (value: Json): boolean =>
  isObject(value) &&
  value.type === "request" &&
  value.v === 1 &&
  typeof value.model === "string" &&
  [value.system, value.tools, ...(value.params === undefined ? [] : [value.params])].every(
    (each) => typeof each === "string" && parseLink(each),
  ) &&
  (value.items === null || (typeof value.items === "string" && parseLink(value.items) !== null));

/** The canonical bytes of a recorded request: those that the model was sent. */
export async function requestOf(store: EmbeddedStore, of: Link): Promise<Buffer> {
  const { model, system, tools, items, params } = await readRequest(store, of);
  const session: Session = { items, shell: null };
  const request: ModelRequest = {
    model,
    system: (await getBytes(store, system)).toString(),
    tools: decodeJson(await getBytes(store, tools)) as unknown as ToolSpec[],
    messages: await itemsOf(store, session),
    ...(params && { params: decodeJson(await getBytes(store, params)) as Params }),
  };
  return encodeJson(request);
}
