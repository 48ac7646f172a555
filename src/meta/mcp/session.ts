/** The Model Context Protocol as a server speaks it: one client, from `initialize` to its end, over whatever carries the messages. */
import {
  errorOf,
  INTERNAL_ERROR,
  INVALID_PARAMS,
  INVALID_REQUEST,
  NO_METHOD,
  REVISIONS,
  type Revision,
  resultOf,
} from "../../agent/mcp/rpc.ts";
import { isMembers, type Members } from "../../gateway/protocol.ts";
import type { Json } from "../../trace/ports.ts";

/** How a call of a tool went, in words. Never as data beside them: who is given both may be shown the data alone, without what the words say of it. */
export interface Told {
  text: string;
  failed: boolean;
}

export interface CallContext {
  /** What the client says to be. */
  client: string;
  /** Aborts when nobody waits for the call any more. */
  signal: AbortSignal;
  /** Says that it is still under way, for who asked to hear that. */
  progress(done: number, total: number | undefined, message: string): void;
}

export interface ServedTool {
  name: string;
  /** What `tools/list` says of it: description, schemas, annotations. */
  listed: object;
  /** Whether it changes nothing: then a call is left where its client has gone. */
  readOnly: boolean;
  /** What goes wrong with the call is told, and not thrown. */
  call(input: Members, context: CallContext): Promise<Told>;
}

export interface SessionOptions {
  tools: readonly ServedTool[];
  /** Why a tool of that name is not there; undefined where there is none of that name at all. */
  lacking(name: string): string | undefined;
  /** What a model is told of the server as a whole. */
  instructions: string;
  version: string;
}

/** Sends what is no answer. */
export type Notify = (message: Members) => void;

export interface Session {
  /** The revision that was agreed on; null before. */
  readonly revision: Revision | null;
  /** How many calls are under way. */
  readonly busy: number;
  /**
   * Takes a message, and gives the answer: null where there is none, since it was a notification, an answer, or a call that was taken back.
   * @param gone aborts when the client cannot be answered any more
   */
  hear(message: Json, notify: Notify, gone?: AbortSignal): Promise<Json>;
  /** Leaves what waits or is not begun, and waits for the rest. */
  close(): Promise<void>;
}

/** So many calls of one client run at once, and so many messages come in one batch. */
const MOST_CALLS = 32;
const MOST_IN_BATCH = 64;
/** What a client says to be is taken so far, in UTF-16 units. */
const LONGEST_NAME = 64;

type Id = string | number;
interface Call {
  control: AbortController;
  ended: Promise<unknown>;
  takenBack: boolean;
}
const isId = (value: Json | undefined): value is Id => typeof value === "string" || Number.isFinite(value);

export function makeSession({ tools, lacking, instructions, version }: SessionOptions): Session {
  const byName = new Map(tools.map((tool) => [tool.name, tool]));
  const calls = new Map<Id, Call>();
  let revision: Revision | null = null;
  let client = "";

  const initialize = (id: Id, { protocolVersion, clientInfo }: Members): Members => {
    if (revision) return errorOf(id, INVALID_REQUEST, "The session is initialized already.");
    if (typeof protocolVersion !== "string")
      return errorOf(id, INVALID_PARAMS, '"protocolVersion" must say which revision of the protocol is spoken.');
    // One that is not known is answered with the newest that is.
    revision = REVISIONS.find((each) => each === protocolVersion) ?? REVISIONS[0];
    client = nameOf(clientInfo);
    return resultOf(id, {
      protocolVersion: revision,
      capabilities: { tools: {} },
      serverInfo: { name: "shepherd", title: "Shepherd", version },
      instructions,
    });
  };

  const call = async (id: Id, params: Members, notify: Notify, gone: AbortSignal | undefined): Promise<Json> => {
    const { name, arguments: input = {}, _meta } = params;
    if (typeof name !== "string") return errorOf(id, INVALID_PARAMS, '"name" must be the name of a tool.');
    const tool = byName.get(name);
    if (!tool) return errorOf(id, INVALID_PARAMS, lacking(name) ?? `There is no tool ${JSON.stringify(clean(name))}.`);
    if (!isMembers(input)) return errorOf(id, INVALID_PARAMS, '"arguments" must be an object.');
    if (calls.has(id)) return errorOf(id, INVALID_REQUEST, "A call with this id is under way.");
    if (calls.size >= MOST_CALLS) return errorOf(id, INTERNAL_ERROR, "Too many calls are under way: wait for one.");
    const token = isMembers(_meta) ? _meta.progressToken : undefined;
    const control = new AbortController();
    const signal = tool.readOnly && gone ? AbortSignal.any([control.signal, gone]) : control.signal;
    let last = -1;
    const progress: CallContext["progress"] = (done, total, message) => {
      // It must grow.
      if (!isId(token) || signal.aborted || done <= last) return;
      last = done;
      const about = {
        progressToken: token,
        progress: done,
        ...(total !== undefined && { total }),
        ...(revision! >= "2025-03-26" && { message }),
      };
      notify({ jsonrpc: "2.0", method: "notifications/progress", params: about });
    };
    const told = tool.call(input, { client, signal, progress });
    const open: Call = { control, ended: told.catch(() => {}), takenBack: false };
    calls.set(id, open);
    try {
      const { text, failed } = await told;
      // Who took it back hears no more of it.
      if (open.takenBack) return null;
      return resultOf(id, { content: [{ type: "text", text }], isError: failed });
    } catch {
      return open.takenBack ? null : errorOf(id, INTERNAL_ERROR, "The call could not be performed.");
    } finally {
      calls.delete(id);
    }
  };

  const takeBack = (id: Id): void => {
    const open = calls.get(id);
    if (!open) return;
    open.takenBack = true;
    open.control.abort(new DOMException("The client took it back.", "AbortError"));
  };

  const answer = async (id: Id, method: string, params: Members, notify: Notify, gone?: AbortSignal): Promise<Json> => {
    if (method === "ping") return resultOf(id, {});
    if (method === "initialize") return initialize(id, params);
    if (method !== "tools/list" && method !== "tools/call")
      return errorOf(id, NO_METHOD, `There is no method ${JSON.stringify(clean(method))}.`);
    if (!revision) return errorOf(id, INVALID_REQUEST, `"initialize" comes before ${method}.`);
    if (method === "tools/call") return call(id, params, notify, gone);
    if (params.cursor !== undefined) return errorOf(id, INVALID_PARAMS, "There is no such page.");
    return resultOf(id, { tools: tools.map((tool) => tool.listed as Members) });
  };

  const hear: Session["hear"] = async (message, notify, gone) => {
    if (!isMembers(message)) return errorOf(null, INVALID_REQUEST, "A message is an object of JSON-RPC 2.0.");
    const { jsonrpc, id, method, params = {} } = message;
    // An answer: nothing was asked.
    if (method === undefined && (message.result !== undefined || message.error !== undefined)) return null;
    const known = isId(id) ? id : null;
    if (jsonrpc !== "2.0" || typeof method !== "string" || (id !== undefined && known === null))
      return errorOf(known, INVALID_REQUEST, "A message is an object of JSON-RPC 2.0.");
    if (known === null) {
      if (method === "notifications/cancelled" && isMembers(params) && isId(params.requestId))
        takeBack(params.requestId);
      return null;
    }
    if (!isMembers(params)) return errorOf(known, INVALID_PARAMS, '"params" must be an object.');
    try {
      return await answer(known, method, params, notify, gone);
    } catch {
      return errorOf(known, INTERNAL_ERROR, "It could not be answered.");
    }
  };

  /** Several at once: only one revision has that. */
  const hearAll = async (messages: Json[], notify: Notify, gone?: AbortSignal): Promise<Json> => {
    if (revision !== "2025-03-26")
      return errorOf(null, INVALID_REQUEST, "Several messages at once are not part of this revision of the protocol.");
    if (messages.length === 0 || messages.length > MOST_IN_BATCH)
      return errorOf(null, INVALID_REQUEST, `A batch has 1 to ${MOST_IN_BATCH} messages.`);
    const answers = await Promise.all(messages.map((each) => hear(each, notify, gone)));
    const said = answers.filter((each) => each !== null);
    return said.length > 0 ? said : null;
  };

  return {
    get revision() {
      return revision;
    },
    get busy() {
      return calls.size;
    },
    hear: (message, notify, gone) =>
      Array.isArray(message) ? hearAll(message, notify, gone) : hear(message, notify, gone),
    close: async () => {
      for (const { control } of calls.values())
        control.abort(new DOMException("The client does not wait any more.", "AbortError"));
      await Promise.all([...calls.values()].map(({ ended }) => ended));
    },
  };
}

/** A word from outside, for a sentence or a record. */
export const clean = (text: string): string =>
  text
    .toWellFormed()
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, " ")
    .slice(0, LONGEST_NAME)
    .toWellFormed()
    .trim();

const nameOf = (info: Json | undefined): string =>
  isMembers(info) && typeof info.name === "string" ? clean(info.name) : "";
