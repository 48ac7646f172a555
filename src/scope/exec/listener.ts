/** A server of this process that listens in the network of a sandbox: a process that is started there for a moment makes it and hands it over. */
import { spawn } from "node:child_process";
import type { Server } from "node:net";

/** Run inside the network: gives the server to its parent, and ends once that has it. */
const PROGRAM = `const server = require("node:net").createServer();
server.on("error", (error) => { process.send({ error: error.message }); });
server.listen(Number(process.argv[1]), "127.0.0.1", () => process.send({}, server));
process.on("disconnect", () => process.exit());`;

/** So long it takes at most, in ms, on the busiest of machines. */
const PATIENCE = 30_000;

/**
 * Listens on 127.0.0.1 of the network that `enter` leads into. Connections are accepted by this process; the server does not keep it alive.
 * @param enter program and arguments that start another program there
 */
export function listenIn(enter: readonly string[], port: number, patience = PATIENCE): Promise<Server> {
  const [program, ...words] = [...enter, process.execPath, "-e", PROGRAM, String(port)];
  return new Promise((resolve, reject) => {
    const child = spawn(program!, words, { stdio: ["ignore", "ignore", "pipe", "ipc"], env: {}, cwd: "/" });
    let said = "";
    child.stderr!.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-4096);
    });
    const late = setTimeout(() => {
      reject(new Error(`nothing listens on port ${port} of the sandbox after ${patience / 1000} s`));
      child.kill("SIGKILL");
    }, patience);
    child.on("error", reject);
    child.on("close", () => {
      clearTimeout(late);
      reject(new Error(said.trim() || `nothing could be made to listen on port ${port}`));
    });
    child.on("message", (message: { error?: string }, server) => {
      clearTimeout(late);
      if (server) resolve((server as Server).unref());
      else reject(new Error(message.error));
      child.disconnect();
    });
  });
}
