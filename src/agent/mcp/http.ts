/** A server at an address: each message is a POST, and what is said in answer comes as its body, one message or a stream of them. */
import { without } from "../../gateway/credentials.ts";
import { sseReader } from "../../gateway/sse.ts";
import type { Json } from "../../trace/ports.ts";
import type { Carrier, Ear } from "./rpc.ts";

export interface Address {
  url: string;
  headers: { [name: string]: string };
}

const LONGEST = 64 << 20;

/** @param version gives the revision of the protocol once it is agreed on */
export function openAddress({ url, headers }: Address, version: () => string | null, ear: Ear): Carrier {
  const secrets = Object.values(headers)
    .flatMap((value) => [value, value.replace(/^\w+\s+/, "")])
    .filter((each) => each.length >= 6);
  let session: string | null = null;
  let broken: Error | null = null;
  const own = (): { [name: string]: string } => ({
    ...headers,
    ...(session !== null && { "mcp-session-id": session }),
    ...(version() !== null && { "mcp-protocol-version": version()! }),
  });
  const hear = (text: string): void => {
    try {
      ear.hear(JSON.parse(text) as Json);
    } catch {
      // What is no message says nothing; who waits for one is told that none came.
    }
  };
  return {
    get broken() {
      return broken;
    },
    send: async (message, signal) => {
      let response: Response;
      try {
        response = await fetch(url, {
          method: "POST",
          headers: { "content-type": "application/json", accept: "application/json, text/event-stream", ...own() },
          body: JSON.stringify(message),
          signal,
        });
      } catch (error) {
        signal.throwIfAborted();
        const { message: words, cause } = error as Error;
        throw new Error(without(`it cannot be reached (${(cause as { code?: string })?.code ?? words})`, secrets));
      }
      session = response.headers.get("mcp-session-id") ?? session;
      if (!response.ok) {
        const text = without((await response.text()).slice(0, 500), secrets);
        const error = new Error(`it answered ${response.status}${text ? `: ${text}` : ""}`);
        // It has forgotten the session: another one begins with the next call.
        if (response.status === 404 && session !== null) broken = error;
        throw error;
      }
      if (response.body && /^text\/event-stream/i.test(response.headers.get("content-type") ?? "")) {
        const events = sseReader();
        for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>)
          for (const { data } of events.push(chunk)) hear(data);
      } else {
        const text = response.status === 202 ? "" : await response.text();
        if (text.length <= LONGEST && text !== "") hear(text);
      }
      if (typeof message.id === "number") ear.ended(new Error("its answer broke off"), message.id);
    },
    close: async () => {
      if (session === null) return;
      await fetch(url, { method: "DELETE", headers: own(), signal: AbortSignal.timeout(2000) }).catch(() => {});
    },
  };
}
