import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { type Forward, forward } from "./forward.ts";

const ends: Array<() => void> = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

async function serving(serve: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer({ allowHalfOpen: true }, serve).listen(0, "127.0.0.1");
  await once(server, "listening");
  ends.push(() => server.close());
  return { server, port: (server.address() as AddressInfo).port };
}

const to = (port: number): Socket => connect({ port, host: "127.0.0.1", allowHalfOpen: true });

async function leadingTo(port: number): Promise<Forward> {
  const made = await forward({
    wanted: port,
    exact: false,
    connect: async () => {
      const socket = to(port);
      await once(socket, "connect");
      return socket;
    },
  });
  ends.push(made.close);
  return made;
}

test("what had come when a server broke off arrives, and then the end", async () => {
  const { port } = await serving((socket) => {
    socket.write("x".repeat(50_000));
    socket.once("data", () => socket.resetAndDestroy());
  });
  const made = await leadingTo(port);
  expect(made.port).not.toBe(port);
  const socket = to(made.port);
  let size = 0;
  socket.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size === 50_000) socket.write("enough");
  });
  await once(socket, "end");
  socket.destroy();
  expect(size).toBe(50_000);
});

test("who breaks off takes the other end with them", async () => {
  let begun = false;
  let over = false;
  const { port } = await serving((socket) => {
    begun = true;
    socket.on("error", () => {}).on("end", () => socket.end());
    socket.resume().on("close", () => {
      over = true;
    });
  });
  const socket = to((await leadingTo(port)).port);
  socket.write("hello");
  await expect.poll(() => begun).toBe(true);
  socket.resetAndDestroy();
  await expect.poll(() => over).toBe(true);
});

test("where nothing listens each is sent away; a port that somebody has is taken only as another one", async () => {
  const made = await forward({ wanted: 0, exact: false, connect: async () => null });
  ends.push(made.close);
  const socket = to(made.port);
  const [error] = await once(socket, "error").catch((error: Error) => [error]);
  expect((error as NodeJS.ErrnoException).code).toBe("ECONNRESET");
  await expect(forward({ wanted: made.port, exact: true, connect: async () => null })).rejects.toThrow("EADDRINUSE");
});
