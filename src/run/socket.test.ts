import { mkdtempSync, rmSync, statSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { connect } from "./connect.ts";
import { type Method, type Server, serve, socketPath } from "./socket.ts";

let directory: string;
let server: Server | null;
beforeEach(() => {
  directory = mkdtempSync(`${tmpdir()}/shepherd-socket-`);
  server = null;
});
afterEach(async () => {
  await server?.close();
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true });
});

const EVENT = "x".repeat(1 << 20);

/** A socket on which `flood` sends so many events, and waits for room where it is told to; `gone`: how many there were when who asked counted as gone. */
async function listen(events: number): Promise<{ path: string; gone: Promise<number> }> {
  const path = `${directory}/s`;
  let tell = (_sent: number): void => {};
  const gone = new Promise<number>((resolve) => {
    tell = resolve;
  });
  const flood: Method = async ({ waits }, send, closed) => {
    let sent = 0;
    closed.addEventListener("abort", () => tell(sent));
    for (; sent < events && !closed.aborted; sent++) {
      const room = send(EVENT);
      await (waits ? room : new Promise((resolve) => setTimeout(resolve, 1)));
    }
    return sent;
  };
  server = await serve(path, { flood });
  return { path, gone };
}

test("a client that does not read counts as gone before much waits for it", async () => {
  const { path, gone } = await listen(100);
  const deaf = createConnection(path);
  deaf.on("error", () => {});
  deaf.write(`${JSON.stringify({ id: 1, method: "flood" })}\n`);
  deaf.pause();
  const sent = await gone;
  deaf.destroy();
  expect(sent).toBeGreaterThan(14);
  expect(sent).toBeLessThan(25);
});

test("one that reads is sent all, however much it is", async () => {
  const { path } = await listen(40);
  const connection = await connect(path);
  let heard = 0;
  expect(await connection.request("flood", { waits: true }, () => heard++)).toBe(40);
  expect(heard).toBe(40);
  connection.close();
});

test.each(["store", `far/${"x".repeat(100)}`])(
  "only its user can open it, and the directory in which it is made: %s",
  async (name) => {
    vi.stubEnv("XDG_RUNTIME_DIR", directory);
    const modeOf = (path: string): number => statSync(path).mode & 0o777;
    const path = socketPath({ directory: `${directory}/${name}` }, "log");
    expect(modeOf(path.slice(0, path.lastIndexOf("/")))).toBe(0o700);
    server = await serve(path, {});
    expect(modeOf(path)).toBe(0o600);
  },
);
