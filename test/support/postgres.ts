/** A PostgreSQL of a test's own: a cluster in a scratch directory that listens at a socket there, and nowhere else. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./user.ts";

/** Where Debian and Fedora put the programs of the server, which are on nobody's path. */
function serverPrograms(): string | null {
  const versions = "/usr/lib/postgresql";
  const ofDebian = fs.existsSync(versions)
    ? fs
        .readdirSync(versions)
        .sort((a, b) => Number(b) - Number(a))
        .map((version) => join(versions, version, "bin"))
    : [];
  const all = [...ofDebian, ...(process.env.PATH ?? "").split(":")];
  return all.find((bin) => ["initdb", "postgres"].every((name) => fs.existsSync(join(bin, name)))) ?? null;
}

const BIN = serverPrograms();
const isRoot = process.getuid?.() === 0;
/** It does not run as root; whose it is must have a name. */
const USER = ["postgres", "nobody"].find((name) => spawnSync("id", ["-u", name]).status === 0) ?? "nobody";

/** Why no test can have one; null where it can. */
export const noPostgres: string | null =
  BIN === null || spawnSync("psql", ["--version"]).status !== 0
    ? "there is no PostgreSQL (Debian: postgresql)"
    : spawnSync("setpriv", ["--version"]).status !== 0
      ? "there is no setpriv (Debian: util-linux)"
      : null;

export interface Postgres {
  /** What `psql -h` takes. */
  host: string;
  /** Does statements as one transaction, and gives their rows, with members divided by `|`. Throws what the server says. */
  sql(text: string): string[];
  /** Ends it, as a host that goes down does; what was committed stays. */
  stop(): Promise<void>;
  start(): Promise<void>;
  end(): Promise<void>;
}

/** Starts one. It ends with this process, whatever becomes of that. */
export async function newPostgres(): Promise<Postgres> {
  const host = fs.mkdtempSync(`${tmpdir()}/shepherd-postgres-`);
  const data = join(host, "data");
  const owner = isRoot ? [`--reuid=${USER}`, `--regid=${idOf("-g")}`, "--clear-groups"] : [];
  if (isRoot) fs.chownSync(host, idOf("-u"), idOf("-g"));
  const made = ["-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"];
  execFileSync("setpriv", [...owner, join(BIN!, "initdb"), ...made], {
    cwd: host,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let server: ChildProcess | null = null;
  let said = "";
  const rows = (text: string): string[] =>
    execFileSync("psql", ["-h", host, ...PSQL, "-1", "-c", text], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    })
      .split("\n")
      .filter(Boolean);
  const start = async (): Promise<void> => {
    const options = ["-D", data, "-k", host, "-h", "", "-F", "-c", "shared_buffers=8MB"];
    server = spawn("setpriv", ["--pdeathsig=KILL", ...owner, join(BIN!, "postgres"), ...options], {
      cwd: host,
      stdio: ["ignore", "ignore", "pipe"],
    });
    server.stderr!.on("data", (chunk) => {
      said += chunk;
    });
    await until(
      () => spawnSync("psql", ["-h", host, ...PSQL, "-c", "SELECT 1"]).status === 0,
      () => said,
    );
  };
  const stop = async (): Promise<void> => {
    if (!server || server.exitCode !== null) return;
    const ended = new Promise((done) => server!.once("exit", done));
    // It cuts off who is connected.
    server.kill("SIGINT");
    await ended;
  };
  await start();
  return {
    host,
    sql: rows,
    stop,
    start,
    end: async () => {
      await stop();
      fs.rmSync(host, { recursive: true, force: true });
    },
  };
}

const PSQL = ["-U", "postgres", "-d", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1"];

const idOf = (which: "-u" | "-g"): number => Number(execFileSync("id", [which, USER], { encoding: "utf8" }));
