/** A client that has started this process, and speaks to it by lines on its standard input and output. */
import type { Readable, Writable } from "node:stream";
import { lineReader } from "../../agent/mcp/lines.ts";
import { errorOf, INVALID_REQUEST, PARSE_ERROR } from "../../agent/mcp/rpc.ts";
import type { Members } from "../../gateway/protocol.ts";
import type { Json } from "../../trace/ports.ts";
import type { Session } from "./session.ts";

/** A line is at most this long, in bytes. */
export const LONGEST = 8 << 20;
/** A client that reads so little that more than this waits for it counts as gone, in bytes. */
const MOST_UNREAD = 64 << 20;

/** Serves until the input ends, the output breaks or `signal` aborts; resolves when what was begun is done. */
export async function serveStdio(
  session: Session,
  { input, output }: { input: Readable; output: Writable },
  signal: AbortSignal,
): Promise<void> {
  const gone = new AbortController();
  const end = (): void => gone.abort(new DOMException("The client has gone.", "AbortError"));
  let reads = true;
  const unread = (): void => {
    reads = false;
    end();
  };
  // Who has said its last word may still hear what comes of it.
  const send = (message: Json): void => {
    if (!reads || message === null) return;
    output.write(`${JSON.stringify(message)}\n`);
    if (output.writableLength > MOST_UNREAD) unread();
  };
  const open = new Set<Promise<void>>();
  const read = lineReader(LONGEST, (line) => {
    const message = messageOf(line);
    if (message === undefined) return;
    if ("wrong" in message) {
      send(message.wrong);
      return;
    }
    const answered = session.hear(message.said, send, gone.signal).then(send);
    open.add(answered);
    void answered.finally(() => open.delete(answered));
  });
  const over = new Promise<void>((resolve) => gone.signal.addEventListener("abort", () => resolve(), { once: true }));
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  input.on("data", read).on("end", end).on("close", end).on("error", end);
  output.on("close", unread).on("error", unread);
  await over;
  input.off("data", read).pause();
  await session.close();
  await Promise.all(open);
}

/** What a line says; undefined for an empty one. */
function messageOf(line: string | null): { said: Json } | { wrong: Members } | undefined {
  if (line === null) return { wrong: errorOf(null, INVALID_REQUEST, `A message has at most ${LONGEST} bytes.`) };
  if (line.trim() === "") return undefined;
  try {
    return { said: JSON.parse(line) as Json };
  } catch {
    return { wrong: errorOf(null, PARSE_ERROR, "The line is no JSON.") };
  }
}
