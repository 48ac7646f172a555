import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { beforeEach, expect, test } from "vitest";
import { listenIn } from "./listener.ts";

/** Here there is no other network to enter. */
const HERE = ["env"];
/** Nobody listens on it. */
let port = 0;
beforeEach(async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  port = (server.address() as AddressInfo).port;
  await new Promise((resolve) => server.close(resolve));
});

test("a server is handed over, and what keeps it from listening is told", async () => {
  const server = await listenIn(HERE, port);
  const accepted = new Promise((resolve) => server.once("connection", (socket) => resolve(socket.destroy())));
  connect(port, "127.0.0.1").on("error", () => {});
  await accepted;
  await expect(listenIn(HERE, port)).rejects.toThrow("EADDRINUSE");
  server.close();
  await expect(listenIn(["sh", "-c", "echo no such network >&2; exit 1"], port)).rejects.toThrow("no such network");
});

test("a process that never answers is not waited for without end", async () => {
  await expect(listenIn(["sh", "-c", "exec sleep 600"], port, 300)).rejects.toThrow(/^nothing listens on port \d+ /);
});
