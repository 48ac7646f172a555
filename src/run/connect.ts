/** Requests to the owner of a run, over its control socket. */
import { createConnection } from "node:net";
import type { Json } from "../trace/ports.ts";
import { lines } from "./socket.ts";

/** Thrown where no process listens for a run. */
export class NoOwner extends Error {}

/** A request that the owner answered with an error. */
export class OwnerError extends Error {
  constructor(
    message: string,
    readonly type: string,
  ) {
    super(message);
  }
}

/** A connection to the owner of a run, on which requests can follow each other and overlap. */
export interface Connection {
  /** Throws `OwnerError` with the owner's words if it refuses, `NoOwner` if it goes away, another error if it says nonsense. */
  request(method: string, params?: { [key: string]: Json }, onEvent?: (event: Json) => void): Promise<Json>;
  close(): void;
}

/** Throws `NoOwner` if nobody listens. The connection ends once `signal` aborts. */
export async function connect(path: string, signal?: AbortSignal): Promise<Connection> {
  const socket = createConnection({ path, ...(signal && { signal }) });
  const open = new Map<number, { reply: (reply: Reply) => void; fail: (error: Error) => void }>();
  let next = 1;
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "ENOENT" || error.code === "ECONNREFUSED" ? new NoOwner("Nobody drives this run.") : error),
    );
  });
  let over: Error = new NoOwner("The owner of this run went away.");
  socket.on("error", () => socket.destroy());
  socket.on("close", () => {
    for (const { fail } of open.values()) fail(over);
    open.clear();
  });
  lines(socket, (line) => {
    const reply = parse(line);
    if (reply) return open.get(reply.id)?.reply(reply);
    over = new Error("The owner of this run says what cannot be read: it may be of another version of Shepherd.");
    socket.destroy();
  });
  return {
    request: (method, params = {}, onEvent) =>
      new Promise((resolve, reject) => {
        if (socket.destroyed) return reject(over);
        const id = next++;
        const reply = ({ event, error, result }: Reply): void => {
          if (event !== undefined) {
            onEvent?.(event);
            return;
          }
          open.delete(id);
          if (error) reject(new OwnerError(error.message, error.type));
          else resolve(result ?? null);
        };
        open.set(id, { reply, fail: reject });
        socket.write(`${JSON.stringify({ id, method, params })}\n`);
      }),
    close: () => socket.destroy(),
  };
}

interface Reply {
  id: number;
  result?: Json;
  event?: Json;
  error?: { message: string; type: string };
}

function parse(line: string): Reply | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" ? (value as Reply | null) : null;
  } catch {
    return null;
  }
}

/** Asks the owner of a run once. Throws as a connection does. `signal` takes back what has not begun. */
export async function ask(
  path: string,
  method: string,
  params: { [key: string]: Json } = {},
  onEvent?: (event: Json) => void,
  signal?: AbortSignal,
): Promise<Json> {
  try {
    const connection = await connect(path, signal);
    return await connection.request(method, params, onEvent).finally(() => connection.close());
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
