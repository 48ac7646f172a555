/** A Redis of a test's own: in a scratch directory, at a socket there, and nowhere else. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { until } from "./user.ts";

/** Why no test can have one; null where it can. */
export const noRedis: string | null = ["redis-server", "redis-cli", "setpriv"].every(
  (program) => spawnSync(program, ["--version"]).status === 0,
)
  ? null
  : "there is no Redis (Debian: redis-server)";

export interface Redis {
  /** Path of its socket. */
  socket: string;
  /** Does a command, and gives its answer, an item a line. */
  ask(...words: string[]): string[];
  end(): Promise<void>;
}

/** Starts one. It ends with this process, whatever becomes of that. */
export async function newRedis(): Promise<Redis> {
  const directory = fs.mkdtempSync(`${tmpdir()}/shepherd-redis-`);
  const socket = `${directory}/redis.sock`;
  const options = ["--port", "0", "--unixsocket", socket, "--dir", directory, "--save", "", "--appendonly", "yes"];
  const server = spawn("setpriv", ["--pdeathsig=KILL", "redis-server", ...options], { stdio: "ignore" });
  const ended = new Promise((done) => server.once("exit", done));
  const cli = (words: string[]): string[] => ["-s", socket, "--raw", ...words];
  await until(() => spawnSync("redis-cli", cli(["PING"])).status === 0);
  return {
    socket,
    ask: (...words) =>
      execFileSync("redis-cli", cli(["-e", ...words]), { encoding: "utf8" })
        .split("\n")
        .filter(Boolean),
    end: async () => {
      server.kill("SIGTERM");
      await ended;
      fs.rmSync(directory, { recursive: true, force: true });
    },
  };
}
