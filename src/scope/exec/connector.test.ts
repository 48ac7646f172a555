import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { type Connector, openConnector } from "./connector.ts";

const ends: Array<() => void> = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** Here there is no other network to enter. */
async function open(): Promise<Connector> {
  const connector = await openConnector(["env"]);
  ends.push(() => connector.end());
  return connector;
}

async function listening(host: string, serve: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer({ allowHalfOpen: true }, serve).listen(0, host);
  await once(server, "listening");
  ends.push(() => server.close());
  return { server, port: (server.address() as AddressInfo).port };
}

test("what a server says first comes through whole, and it hears what is said after it has ended", async () => {
  const heard: string[] = [];
  const { port } = await listening("127.0.0.1", (socket) => {
    socket.end("x".repeat(100_000));
    socket.setEncoding("utf8").on("data", (text: string) => heard.push(text));
  });
  const connector = await open();
  const socket = (await connector.connect(port))!;
  // It stands there for a while before anybody reads.
  await new Promise((resolve) => setTimeout(resolve, 100));
  let size = 0;
  socket.on("data", (chunk: Buffer) => {
    size += chunk.length;
  });
  await once(socket, "end");
  expect(size).toBe(100_000);
  socket.end("after");
  await expect.poll(() => heard.join("")).toBe("after");
  socket.destroy();
});

test("many connections are made at once, each its own; where nothing listens there is none", async () => {
  const { port, server } = await listening("127.0.0.1", (socket) => void socket.pipe(socket));
  const connector = await open();
  const answers = await Promise.all(
    Array.from({ length: 100 }, async (_, i) => {
      const socket = (await connector.connect(port))!;
      socket.setEncoding("utf8").end(`number ${i}`);
      let said = "";
      for await (const text of socket) said += text;
      return said;
    }),
  );
  expect(answers).toEqual(answers.map((_, i) => `number ${i}`));
  await new Promise((resolve) => server.close(resolve));
  expect(await connector.connect(port)).toBeNull();
  connector.end();
  await connector.ended;
  expect(await connector.connect(port)).toBeNull();
});

test("a server that listens on ::1 alone is found", async (context) => {
  const found = await listening("::1", (socket) => void socket.end("six")).catch(() => null);
  if (!found) return context.skip("this machine has no ::1");
  const connector = await open();
  const socket = (await connector.connect(found.port))!;
  const [said] = await once(socket.setEncoding("utf8"), "data");
  expect(said).toBe("six");
  socket.destroy();
});

test("why a network cannot be entered is told, and what never answers is not waited for", async () => {
  await expect(openConnector(["sh", "-c", "echo no such network >&2; exit 1"])).rejects.toThrow("no such network");
  await expect(openConnector(["/no/such/program"])).rejects.toThrow("ENOENT");
  await expect(openConnector(["sh", "-c", "exec sleep 600"], 300)).rejects.toThrow("nothing can be started");
});
