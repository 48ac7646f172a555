import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ask, connect, NoOwner } from "./connect.ts";

let directory = "";
let path = "";
let server: Server | null = null;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "shepherd-connect-"));
  path = join(directory, "owner.sock");
});
afterEach(() => {
  server?.close();
  rmSync(directory, { recursive: true, force: true });
});

/** An owner that answers all it hears with the same text. */
const answering = (text: string): Promise<void> => {
  server = createServer((socket) => void socket.on("error", () => {}).on("data", () => socket.write(text)));
  return new Promise((resolve) => server!.listen(path, resolve));
};

test.each(["{nonsense\n", "null\n", '"text"\n{}\n'])(
  "an owner that says %j ends its requests with a sentence",
  async (said) => {
    await answering(said);
    const connection = await connect(path);
    const both = [connection.request("a"), connection.request("b")];
    for (const each of both) await expect(each).rejects.toThrow("says what cannot be read");
    await expect(connection.request("c")).rejects.toThrow("says what cannot be read");
  },
);

test("an owner that answers, refuses, or is not there is told apart", async () => {
  await expect(ask(path, "a")).rejects.toThrow(NoOwner);
  await answering('{"id":1,"event":2}\n{"id":7,"result":0}\n{"id":1,"result":3}\n');
  const events: unknown[] = [];
  expect(await ask(path, "a", {}, (event) => events.push(event))).toBe(3);
  expect(events).toEqual([2]);
});
