/** Connections into the network of a sandbox: a process that is started there makes them, and hands them over. */
import { spawn } from "node:child_process";
import type { Socket } from "node:net";

/** Run inside the network. It reads nothing: what a server says first is for whoever gets the connection. */
const PROGRAM = `const { connect } = require("node:net");
process.on("message", ({ id, port }) => {
  const attempt = ([host, ...others]) => {
    const socket = connect({ host, port, allowHalfOpen: true });
    socket.pause();
    socket.once("error", ({ code }) => (others.length > 0 ? attempt(others) : process.send({ id, error: code })));
    socket.once("connect", () => {
      socket.removeAllListeners("error").on("error", () => {});
      process.send({ id }, socket);
    });
  };
  attempt(["127.0.0.1", "::1"]);
});
process.on("disconnect", () => process.exit());
process.send({ ready: true });`;

/** So long it takes to start at most, in ms, on the busiest of machines. */
const PATIENCE = 30_000;

export interface Connector {
  /** A connection to what listens on a port of 127.0.0.1 there, or else of ::1; null where nothing does. Nothing of it is read yet. */
  connect(port: number): Promise<Socket | null>;
  /** Resolves when it can make no more. */
  readonly ended: Promise<void>;
  end(): void;
}

/** @param enter program and arguments that start another program in the network */
export async function openConnector(enter: readonly string[], patience = PATIENCE): Promise<Connector> {
  const [program, ...words] = [...enter, process.execPath, "-e", PROGRAM];
  const child = spawn(program!, words, { stdio: ["ignore", "ignore", "pipe", "ipc"], env: {}, cwd: "/" });
  const asked = new Map<number, (socket: Socket | null) => void>();
  let said = "";
  child.stderr!.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4096);
  });
  const ended = new Promise<void>((resolve) => {
    const done = (): void => {
      for (const answer of asked.values()) answer(null);
      asked.clear();
      resolve();
    };
    child.on("error", done);
    // Its own "close" never comes where the channel was closed from here.
    child.on("exit", () => (child.stderr!.closed ? done() : child.stderr!.once("close", done)));
  });
  let over = false;
  void ended.then(() => {
    over = true;
  });
  const end = (): void => {
    if (child.connected) child.disconnect();
    else child.kill("SIGKILL");
  };
  const ready = new Promise<void>((resolve, reject) => {
    const failed = (): void => reject(new Error(said.trim() || "nothing can be started in the network of the run"));
    child.once("error", reject);
    void ended.then(failed);
    const late = setTimeout(() => {
      child.kill("SIGKILL");
      failed();
    }, patience);
    void ended.then(() => clearTimeout(late));
    child.once("message", () => {
      clearTimeout(late);
      resolve();
    });
  });
  await ready;
  child.on("message", ({ id, error }: { id: number; error?: string }, handle) => {
    const socket = error === undefined ? ((handle as Socket | undefined) ?? null) : null;
    // Before its end can come: who has said all may still want to hear.
    if (socket) socket.allowHalfOpen = true;
    const answer = asked.get(id);
    asked.delete(id);
    if (answer) answer(socket);
    else socket?.destroy();
  });
  let last = 0;
  return {
    ended,
    end,
    connect: (port) =>
      new Promise((resolve) => {
        if (over || !child.connected) return resolve(null);
        const id = ++last;
        asked.set(id, resolve);
        child.send({ id, port }, (error) => {
          if (!error) return;
          asked.delete(id);
          resolve(null);
        });
      }),
  };
}
