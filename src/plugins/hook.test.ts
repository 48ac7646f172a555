/** The command by which agents ask: whatever goes wrong, it says that the call must not run. */
import { spawn } from "node:child_process";
import { createServer, type Server, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { hookCommand } from "./hook.ts";

let server: Server | null = null;
afterEach(() => {
  server?.close();
  server = null;
});

/** What the command does whose request is answered so; null: nobody listens. */
async function asked(answer: ((socket: Socket) => void) | null, input = '{"a":1}') {
  let body = "";
  server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      body += chunk.toString();
      if (
        answer &&
        Buffer.byteLength(body.split("\r\n\r\n")[1] ?? "") === Number(/content-length: (\d+)/.exec(body)?.[1])
      )
        answer(socket);
    });
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  if (!answer) await new Promise((resolve) => server!.close(resolve));
  const child = spawn("sh", ["-c", hookCommand(`http://127.0.0.1:${port}/it's/hook`)], { stdio: "pipe" });
  child.stdin.end(input);
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk) => (out += chunk));
  child.stderr.on("data", (chunk) => (err += chunk));
  const code = await new Promise((resolve) => child.once("close", resolve));
  return { code, out, err, body };
}

const reply = (status: string, text: string) => (socket: Socket) =>
  socket.end(`HTTP/1.1 ${status}\r\ncontent-length: ${text.length}\r\n\r\n${text}`);
const SILENT = { code: 2, out: "", err: "Shepherd does not answer, so nothing may run: the run is over.\n" };

test("it sends what it is given, and prints the answer", async () => {
  const { body, ...done } = await asked(reply("200 OK", '{"b":"it\'s"}\n'), '{"a":"é\\n \'$x`y`"}\n');
  expect(done).toEqual({ code: 0, out: '{"b":"it\'s"}\n', err: "" });
  expect(body).toMatch(/^POST \/it's\/hook HTTP\/1\.1\r\n/);
  expect(body.split("\r\n\r\n")[1]).toBe('{"a":"é\\n \'$x`y`"}\n');
});

test("a reason to stop goes to standard error, and nothing to standard output", async () => {
  expect(await asked(reply("403 Forbidden", "not that\none\n"))).toMatchObject({
    code: 2,
    out: "",
    err: "not that\none\n",
  });
});

test.each<[string, ((socket: Socket) => void) | null]>([
  ["nobody listens", null],
  ["the connection breaks", (socket) => socket.destroy()],
  ["the answer breaks off in its head", (socket) => socket.end("HTTP/1.1 200 OK\r\n")],
  ["the answer breaks off in its line", (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"a"')],
  ["the answer is empty", reply("200 OK", "")],
  ["the reason to stop is empty", reply("403 Forbidden", "\n")],
  ["the server has failed", reply("502 Bad Gateway", "no\n")],
])("it fails closed where %s", async (_, answer) => {
  expect(await asked(answer)).toMatchObject(SILENT);
});
