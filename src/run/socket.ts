/** The control socket of a run's owner: requests and answers as lines of JSON, for the user of the store alone. */
import { chmodSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { sha256 } from "../trace/bytes.ts";
import type { Json } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";

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

/** The kernel takes paths of at most 107 bytes. */
const LONGEST = 100;

export function socketPath(store: EmbeddedStore, log: string): string {
  const near = `${store.directory}/run/${log.slice(0, 16)}.sock`;
  if (Buffer.byteLength(near) <= LONGEST) {
    mkdirSync(`${store.directory}/run`, { recursive: true, mode: 0o700 });
    return near;
  }
  const { uid } = userInfo();
  const folder = `${process.env.XDG_RUNTIME_DIR ?? tmpdir()}/shepherd-${uid}`;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const stat = lstatSync(folder);
  if (!stat.isDirectory() || (uid >= 0 && stat.uid !== uid))
    throw new Error(`${folder} belongs to somebody else: set XDG_RUNTIME_DIR to a directory of your own.`);
  chmodSync(folder, 0o700);
  return `${folder}/${sha256(`${store.directory}\n${log}`).slice(0, 24)}.sock`;
}

export type Method = (
  params: { [key: string]: Json },
  /** Resolves when there is room for more: who does not read is not written to beyond that. */
  send: (event: Json) => Promise<void>,
  closed: AbortSignal,
) => Promise<Json>;

export interface Server {
  close(): Promise<void>;
}

/** Listens for requests about a run. */
export async function serve(path: string, methods: { [name: string]: Method }): Promise<Server> {
  rmSync(path, { force: true });
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    const closed = new AbortController();
    socket.on("close", () => {
      open.delete(socket);
      closed.abort();
    });
    socket.on("error", () => socket.destroy());
    lines(socket, (line) => void answer(socket, line, methods, closed.signal));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => resolve());
  });
  chmodSync(path, 0o600);
  return {
    close: async () => {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      rmSync(path, { force: true });
    },
  };
}

async function answer(
  socket: Socket,
  line: string,
  methods: { [name: string]: Method },
  closed: AbortSignal,
): Promise<void> {
  let id: Json = null;
  const write = async (value: object): Promise<void> => {
    if (socket.destroyed || socket.write(`${JSON.stringify(value)}\n`)) return;
    await new Promise<void>((resolve) => {
      socket.once("drain", resolve);
      closed.addEventListener("abort", () => resolve(), { once: true });
    });
  };
  try {
    const request = JSON.parse(line) as { id?: Json; method?: string; params?: { [key: string]: Json } };
    id = request.id ?? null;
    const method = Object.hasOwn(methods, request.method ?? "") ? methods[request.method!] : undefined;
    if (!method) throw new Error(`This run knows no request ${JSON.stringify(request.method)}.`);
    void write({ id, result: await method(request.params ?? {}, (event) => write({ id, event }), closed) });
  } catch (error) {
    void write({ id, error: { message: (error as Error).message, type: (error as Error).constructor.name } });
  }
}

/** A line is at most this long; who sends more is cut off. */
const MAX_LINE = 16 << 20;

function lines(socket: Socket, take: (line: string) => void): void {
  let rest = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    rest += chunk;
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
      const line = rest.slice(0, end);
      rest = rest.slice(end + 1);
      if (line) take(line);
    }
    if (rest.length > MAX_LINE) socket.destroy();
  });
}

/** A connection to the owner of a run, on which requests can follow each other and overlap. */
export interface Connection {
  /** Throws `OwnerError` with the owner's words if it refuses, `NoOwner` if it goes away. */
  request(method: string, params?: { [key: string]: Json }, onEvent?: (event: Json) => void): Promise<Json>;
  close(): void;
}

/** Throws `NoOwner` if nobody listens. */
export async function connect(path: string): Promise<Connection> {
  const socket = createConnection(path);
  const open = new Map<number, { reply: (reply: Reply) => void; fail: (error: Error) => void }>();
  let next = 1;
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "ENOENT" || error.code === "ECONNREFUSED" ? new NoOwner("Nobody drives this run.") : error),
    );
  });
  const gone = (): NoOwner => new NoOwner("The owner of this run went away.");
  socket.on("error", () => socket.destroy());
  socket.on("close", () => {
    for (const { fail } of open.values()) fail(gone());
    open.clear();
  });
  lines(socket, (line) => {
    const reply = JSON.parse(line) as Reply;
    open.get(reply.id)?.reply(reply);
  });
  return {
    request: (method, params = {}, onEvent) =>
      new Promise((resolve, reject) => {
        if (socket.destroyed) return reject(gone());
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

/** Asks the owner of a run once. Throws as a connection does. `signal` takes back what has not begun. */
export async function ask(
  path: string,
  method: string,
  params: { [key: string]: Json } = {},
  onEvent?: (event: Json) => void,
  signal?: AbortSignal,
): Promise<Json> {
  signal?.throwIfAborted();
  const connection = await connect(path);
  const stop = (): void => connection.close();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    return await connection.request(method, params, onEvent);
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener("abort", stop);
    connection.close();
  }
}
