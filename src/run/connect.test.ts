import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ask, NoOwner } from "./connect.ts";
import { type Server, serve } from "./socket.ts";

let directory: string;
let server: Server;
let begun = (): void => {};
/** How many wait for an answer that does not come. */
let waiting = 0;
beforeEach(async () => {
  directory = mkdtempSync(`${tmpdir()}/shepherd-connect-`);
  server = await serve(`${directory}/s`, {
    wait: async (_params, _send, closed) => {
      waiting++;
      begun();
      await new Promise((resolve) => closed.addEventListener("abort", resolve));
      waiting--;
      return null;
    },
    ping: async () => "pong",
  });
});
afterEach(async () => {
  await server.close();
  rmSync(directory, { recursive: true });
});

test("a request is taken back whenever who asked is stopped: before, while it connects, while it waits", async () => {
  const path = `${directory}/s`;
  const before = AbortSignal.abort(new Error("stopped before"));
  await expect(ask(path, "wait", {}, undefined, before)).rejects.toThrow("stopped before");
  const connects = new AbortController();
  const asked = ask(path, "wait", {}, undefined, connects.signal);
  connects.abort(new Error("stopped at once"));
  await expect(asked).rejects.toThrow("stopped at once");
  const waits = new AbortController();
  const under = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const late = ask(path, "wait", {}, undefined, waits.signal);
  await under;
  waits.abort(new Error("stopped later"));
  await expect(late).rejects.toThrow("stopped later");
  await expect.poll(() => waiting).toBe(0);
  expect(await ask(path, "ping", {}, undefined, new AbortController().signal)).toBe("pong");
});

test("where nobody listens that is said, signal or not", async () => {
  await expect(ask(`${directory}/none`, "ping")).rejects.toThrow(NoOwner);
  const { signal } = new AbortController();
  await expect(ask(`${directory}/none`, "ping", {}, undefined, signal)).rejects.toThrow(NoOwner);
});
