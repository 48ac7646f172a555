/** A user with a project, a home and a store of their own, who types commands. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Json } from "../../src/trace/ports.ts";
import { built } from "./built.ts";

export interface Ended {
  code: number | null;
  signal: string | null;
  out: string;
  err: string;
  /** Objects that it printed, one a line. Throws where a line is none. */
  objects<T = { [key: string]: Json }>(): T[];
}

/** A command that runs. */
export interface Running {
  process: ChildProcess;
  readonly out: string;
  readonly err: string;
  ended: Promise<Ended>;
}

export interface Typed {
  /** Directory; the project without it. */
  cwd?: string;
  env?: { [name: string]: string | undefined };
  /** Standard input; nothing without it. */
  input?: string;
  /** Whether standard input stays open, for who starts it to write to. */
  open?: boolean;
}

export interface Turn {
  say?: string;
  call?: Array<{ tool: string; input: Json }>;
  /** Before each block, in ms. */
  delay?: number;
}

export interface User {
  /** Holds all of the following; removed by `end`. */
  directory: string;
  project: string;
  store: string;
  home: string;
  env: { [name: string]: string };
  /** Path of the command's `main.js`. */
  command: string;
  /** Runs `shepherd`, and waits for its end. */
  shepherd(args: string[], typed?: Typed): Promise<Ended>;
  /** As `shepherd`; fails with all it said unless it ends with `code`. */
  does(args: string[], code?: number, typed?: Typed): Promise<Ended>;
  start(args: string[], typed?: Typed): Running;
  git(...args: string[]): string;
  /** Writes files into the project: text, or null for a directory. */
  write(files: { [path: string]: string | null }): void;
  read(path: string): string;
  /** Files and links of the project with what they hold, but for what is in a directory named .git. */
  files(): { [path: string]: string };
  /** Writes a script of a model and gives its name. */
  script(turns: Turn[], name?: string): string;
  end(): void;
}

export const bash = (command: string): { tool: string; input: Json } => ({ tool: "bash", input: { command } });
export const put = (path: string, content: string): { tool: string; input: Json } => ({
  tool: "write",
  input: { path, content },
});

/** What a directory holds, but for directories named .git. Names and contents as Latin-1, so that any bytes can be told apart. */
export function filesOf(directory: string): { [path: string]: string } {
  const found: { [path: string]: string } = {};
  const look = (at: string): void => {
    for (const name of fs.readdirSync(onDisk(directory, at), "latin1").sort()) {
      const path = at ? `${at}/${name}` : name;
      const file = onDisk(directory, path);
      const stat = fs.lstatSync(file);
      if (stat.isDirectory()) {
        if (name !== ".git") look(path);
      } else if (stat.isSymbolicLink()) found[path] = `-> ${fs.readlinkSync(file, "latin1")}`;
      else found[path] = fs.readFileSync(file, "latin1");
    }
  };
  look("");
  return found;
}

const onDisk = (directory: string, path: string): Buffer =>
  Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(path, "latin1")]);

/** Waits for something to become true; fails after a minute, with what `told` says. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  told: string | (() => string) = "it never came",
): Promise<void> {
  const end = Date.now() + 60_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(typeof told === "string" ? told : told());
    await sleep(15);
  }
}

/** @param prefix words before each command that it types, which say as whom. */
export async function newUser(
  files: { [path: string]: string | null } = { "a.txt": "one\n" },
  prefix: readonly string[] = [],
): Promise<User> {
  const command = await built();
  const directory = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "shepherd-user-")));
  const [project, store, home] = ["project", "store", "home"].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [project, home]) fs.mkdirSync(path);
  const running = new Set<ChildProcess>();
  const env: { [name: string]: string } = {
    PATH: process.env.PATH ?? "/usr/bin:/bin",
    HOME: home,
    SHEPHERD_DIR: store,
    LANG: "C.UTF-8",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_AUTHOR_NAME: "user",
    GIT_AUTHOR_EMAIL: "user@example.invalid",
    GIT_COMMITTER_NAME: "user",
    GIT_COMMITTER_EMAIL: "user@example.invalid",
    ...(process.env.SHEPHERD_NO_NAMESPACES && { SHEPHERD_NO_NAMESPACES: process.env.SHEPHERD_NO_NAMESPACES }),
  };

  const start = (args: string[], typed: Typed = {}): Running => {
    const [program, ...words] = [...prefix, process.execPath, command, ...args];
    const child = spawn(program!, words, {
      cwd: typed.cwd ?? project,
      env: { ...env, ...typed.env },
      stdio: [typed.input === undefined && !typed.open ? "ignore" : "pipe", "pipe", "pipe"],
    });
    running.add(child);
    let out = "";
    let err = "";
    child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      err += text;
    });
    child.stdin?.on("error", () => {});
    if (typed.input !== undefined) child.stdin!.end(typed.input);
    const ended = new Promise<Ended>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => {
        running.delete(child);
        const objects = <T>(): T[] =>
          out
            .split("\n")
            .filter(Boolean)
            .map((line) => JSON.parse(line) as T);
        resolve({ code, signal, out, err, objects });
      });
    });
    ended.catch(() => {});
    return {
      process: child,
      ended,
      get out() {
        return out;
      },
      get err() {
        return err;
      },
    };
  };

  const user: User = {
    directory,
    project,
    store,
    home,
    env,
    command,
    start,
    shepherd: (args, typed) => start(args, typed).ended,
    does: async (args, code = 0, typed = {}) => {
      const done = await start(args, typed).ended;
      if (done.code !== code)
        throw new Error(
          `shepherd ${args.join(" ")}: ended with ${done.code ?? done.signal}, not ${code}.\n${done.out}${done.err}`,
        );
      return done;
    },
    git: (...args) =>
      execFileSync("git", args, { cwd: project, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }),
    write: (those) => {
      for (const [path, content] of Object.entries(those)) {
        const at = join(project, path);
        fs.mkdirSync(content === null ? at : dirname(at), { recursive: true });
        if (content !== null) fs.writeFileSync(at, content);
      }
    },
    read: (path) => fs.readFileSync(join(project, path), "utf8"),
    files: () => filesOf(project),
    script: (turns, name = "script") => {
      const file = join(directory, `${name}.jsonl`);
      fs.writeFileSync(file, turns.map((turn) => `${JSON.stringify(turn)}\n`).join(""));
      return `script:${file}`;
    },
    end: () => {
      for (const child of running) child.kill("SIGKILL");
      fs.rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
    },
  };
  user.write(files);
  return user;
}
