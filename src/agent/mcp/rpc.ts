/** JSON-RPC 2.0 with one server, as the Model Context Protocol has it; over whatever carries its messages. */
import { isMembers, type Members } from "../../gateway/protocol.ts";
import type { Json } from "../../trace/ports.ts";

/** Revisions of the protocol that are spoken, newest first. */
export const REVISIONS = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"] as const;
export type Revision = (typeof REVISIONS)[number];

/** Errors as JSON-RPC numbers them. */
export const PARSE_ERROR = -32700;
export const INVALID_REQUEST = -32600;
export const NO_METHOD = -32601;
export const INVALID_PARAMS = -32602;
export const INTERNAL_ERROR = -32603;

export const resultOf = (id: Json, result: Members): Members => ({ jsonrpc: "2.0", id, result });
export const errorOf = (id: Json, code: number, message: string): Members => ({
  jsonrpc: "2.0",
  id,
  error: { code, message },
});

/** What carries messages. One that broke stays so; another is made then. */
export interface Carrier {
  /** Sends a message. What is said in answer is heard. Rejects where it cannot be sent. */
  send(message: Members, signal: AbortSignal): Promise<void>;
  /** Why it carries nothing any more; null while it does. */
  readonly broken: Error | null;
  close(): Promise<void>;
}

/** Hears what a carrier brings: messages, and that no answer comes any more, to one request or to any. */
export interface Ear {
  hear(message: Json): void;
  ended(why: Error, id?: number): void;
}

export interface Rpc extends Ear {
  /** Asks, and gives the result. Throws a `RpcError` for an error of the server's; once `signal` aborts the server is told that nobody waits. */
  ask(carrier: Carrier, method: string, params: Members, signal: AbortSignal): Promise<Members>;
}

/** An error that the server has answered. */
export class RpcError extends Error {}

/** @param answer is given what the server asks */
export function makeRpc(answer: (asked: Members) => void): Rpc {
  let last = 0;
  const waiting = new Map<number, { resolve(result: Members): void; reject(error: Error): void }>();
  return {
    hear: (message) => {
      for (const each of Array.isArray(message) ? message : [message]) {
        if (!isMembers(each)) continue;
        // The server asks, too: whether we are there, and for what we did not say that we have.
        if (typeof each.method === "string") {
          if (each.id !== undefined) answer(each);
          continue;
        }
        const asked = typeof each.id === "number" ? waiting.get(each.id) : undefined;
        if (!asked) continue;
        const { error } = each;
        if (isMembers(error)) asked.reject(new RpcError(String(error.message ?? "it failed")));
        else asked.resolve(isMembers(each.result) ? each.result : {});
      }
    },
    ended: (why, id) => {
      for (const [each, { reject }] of waiting) if (id === undefined || each === id) reject(why);
    },
    ask: async (carrier, method, params, signal) => {
      signal.throwIfAborted();
      const id = ++last;
      const result = new Promise<Members>((resolve, reject) => waiting.set(id, { resolve, reject }));
      result.catch(() => {});
      const stop = (): void => {
        waiting.get(id)?.reject(signal.reason as Error);
        const told = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: id } };
        // The first request of a connection cannot be taken back.
        if (method !== "initialize") carrier.send(told, AbortSignal.timeout(1000)).catch(() => {});
      };
      signal.addEventListener("abort", stop, { once: true });
      try {
        await Promise.race([carrier.send({ jsonrpc: "2.0", id, method, params }, signal), result]);
        if (carrier.broken) throw carrier.broken;
        return await result;
      } finally {
        signal.removeEventListener("abort", stop);
        waiting.delete(id);
      }
    },
  };
}
