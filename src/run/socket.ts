/** The control socket of a run's owner: requests and answers as lines of JSON, for the user of the store alone. */
import { chmodSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { socketFolder } from "../scope/exec/spec.ts";
import { sha256 } from "../trace/bytes.ts";
import type { Json } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";

/** The kernel takes paths of at most 107 bytes. */
const LONGEST = 100;

export function socketPath(store: Pick<EmbeddedStore, "directory">, log: string): string {
  const near = `${store.directory}/run/${log.slice(0, 16)}.sock`;
  if (Buffer.byteLength(near) <= LONGEST) {
    mkdirSync(`${store.directory}/run`, { recursive: true, mode: 0o700 });
    return near;
  }
  const uid = process.getuid?.() ?? -1;
  const folder = socketFolder();
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
    const write = writerTo(socket);
    lines(socket, (line) => void answer(write, line, methods, closed.signal));
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

/** Who reads so little that more than this waits for it counts as gone. */
const MOST_UNREAD = 16 << 20;

/** Writes a line, and resolves when there is room for more, or nobody to read it. */
function writerTo(socket: Socket): (value: object) => Promise<void> {
  let room: Promise<void> | null = null;
  const waited = (resolve: () => void): void => {
    const done = (): void => {
      room = null;
      socket.off("drain", done).off("close", done);
      resolve();
    };
    socket.on("drain", done).on("close", done);
  };
  return async (value) => {
    if (socket.destroyed || socket.write(`${JSON.stringify(value)}\n`)) return;
    // Not everybody who sends waits for room.
    if (socket.writableLength > MOST_UNREAD) socket.destroy();
    room ??= new Promise(waited);
    await room;
  };
}

async function answer(
  write: (value: object) => Promise<void>,
  line: string,
  methods: { [name: string]: Method },
  closed: AbortSignal,
): Promise<void> {
  let id: Json = null;
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

export function lines(socket: Socket, take: (line: string) => void): void {
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
