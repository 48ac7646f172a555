/** The scope helper, a program of ours in C: makes namespaces and starts programs in them. One process of it serves all sandboxes of this thread. */
import { spawn } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import type { Server, Socket } from "node:net";
import { constants as system } from "node:os";
import { join } from "node:path";
import { hasEnded, readProcess } from "./table.ts";
import { findProgram } from "./tools.ts";
import { message, reader } from "./wire.ts";

/** The second word of the command line of a sandbox's first process, by which a script inside can tell that it is inside. */
export const HOLDER_NAME = "shepherd-holder";

/** The program for this machine; null where there is none. SHEPHERD_NO_HELPER=1 passes over it. */
export function findHelper(): string | null {
  if (process.platform !== "linux" || process.env.SHEPHERD_NO_HELPER === "1") return null;
  // Beside the bundle; in the sources, beside what is built of them.
  for (const folder of [import.meta.dirname, join(import.meta.dirname, "../../../bin")])
    try {
      const program = join(folder, `shepherd-scope-${process.arch}`);
      accessSync(program, constants.X_OK);
      return program;
    } catch {
      // not here
    }
  return null;
}

/** By what a C compiler comes, of the programs by which a system installs others. */
const COMPILERS: ReadonlyArray<readonly [program: string, words: string]> = [
  ["apt-get", "sudo apt install gcc libc6-dev"],
  ["dnf", "sudo dnf install gcc glibc-static"],
  ["apk", "sudo apk add gcc musl-dev linux-headers"],
  ["pacman", "sudo pacman -S gcc"],
  ["zypper", "sudo zypper install gcc glibc-devel-static"],
];

/** Where there is no helper: why not, and the one command that would help. */
export function whyNoHelper(): string {
  if (process.env.SHEPHERD_NO_HELPER === "1")
    return "Shepherd's helper is switched off by SHEPHERD_NO_HELPER=1; run `unset SHEPHERD_NO_HELPER` to use it.";
  const sources = ["..", "../../.."].some((up) => existsSync(join(import.meta.dirname, up, "native/main.c")));
  if (!sources)
    return `This package has no helper for ${process.platform} ${process.arch}; \`npm run global\` in Shepherd's sources, where a C compiler is, builds one.`;
  if (findProgram(process.env.CC ?? "cc"))
    return "Shepherd's helper is not built for this machine; `npm run build` in Shepherd's sources builds it.";
  const install = COMPILERS.find(([program]) => findProgram(program))?.[1];
  return `Shepherd's helper is not built, since there is no C compiler; \`${install ? `${install} && ` : ""}npm run build\` in Shepherd's sources${install ? "" : ", once there is one,"} builds it.`;
}

export interface Helper {
  readonly pid: number;
  /** The version of the kernel's Landlock; 0 where there is none that fits. */
  readonly landlock: number;
  /** Whether a directory of a layer below can be renamed in its overlays: by the kernel, or in its sandboxes alone by process 1 there. */
  readonly renames: "kernel" | "sandbox" | "no";
  /** Where its overlays are. */
  readonly overlays: ReadonlySet<string>;
  /** Shows a directory over another one, in the helper's own mounts and in those of sandboxes that it makes from then on. */
  overlay(layers: { at: string; upper: string; work: string; lower: readonly string[] }): Promise<void>;
  unmount(at: string): Promise<void>;
  /** What has changed below a directory since a time (ms since 1970), by paths in it (latin1); with 0 all directories. */
  changed(path: string, since: number): Promise<string[]>;
  /** Takes out what is in a directory, as far as that can be done and nothing is mounted there. */
  remove(path: string): Promise<void>;
  /** Has directories that are made in this one from then on lie apart on the disk. Rejects where the file system knows no such thing. */
  spread(path: string): Promise<void>;
  /** Makes pipes with names, for this user alone. */
  fifos(paths: readonly string[]): Promise<void>;
  /** Makes a sandbox, one whose process 1 looks after renames if `renames`, by instructions (byte strings, latin1; see native/mounts.c). Throws the helper's sentence. */
  open(network: "host" | { port: number }, renames: boolean, instructions: readonly string[]): Promise<Held>;
}

/** How a process ended: by its exit code, or a signal. */
export type Ended = readonly [code: number | null, signal: NodeJS.Signals | null];

export interface Running {
  pid: number;
  ended: Promise<Ended>;
}

/**
 * Starts a program in a sandbox, in a session of its own, with descriptors 0 to 4 (null: none) of this process, without variables, and ready to be
 * closed once it runs. Without words it is what descriptor 3 says, see native/enter.c.
 */
export type Run = (descriptors: readonly (number | null)[], words: readonly string[]) => Promise<Running>;

/** The first process of a sandbox. */
export interface Held {
  pid: number;
  /** Null where programs must be started from here, to enter. */
  run: Run | null;
  /** What listens on the port of its network; null where that is the host's. */
  listener: Server | null;
  alive(): boolean;
  /** Says how many want no renames to be looked after there (native/renames.c), and tells whether none is, for the moment. */
  quiet(wanted: number): Promise<boolean>;
  /** Ends everything inside; resolves when nothing of it is left. */
  end(): Promise<void>;
}

const signalOf = (number: number): NodeJS.Signals =>
  (Object.entries(system.signals).find(([, each]) => each === number)?.[0] ?? "SIGKILL") as NodeJS.Signals;

const helpers = new Map<string, Promise<Helper>>();

/** The helper of this thread, which ends with it. Throws a sentence where it cannot work. */
export function helperOf(program: string, how: "root" | "userns"): Promise<Helper> {
  const key = `${how} ${program}`;
  const known = helpers.get(key);
  if (known) return known;
  const helper = start(program, how, () => helpers.delete(key));
  helpers.set(key, helper);
  return helper;
}

/** One that this thread has; null if it has none. */
export async function runningHelper(): Promise<Helper | null> {
  for (const helper of helpers.values()) return helper.catch(() => null);
  return null;
}

async function start(program: string, how: "root" | "userns", forget: () => void): Promise<Helper> {
  const words = ["serve", " ".repeat(HOLDER_NAME.length), String(process.pid), ...(how === "userns" ? [how] : [])];
  const child = spawn(program, words, { stdio: ["pipe", "pipe", "ignore", "ipc"], env: {}, cwd: "/", detached: true });
  const input = child.stdin as Socket;
  const output = child.stdout as Socket;
  /** By the words that requests have: who waits for the answer, and for what listens. */
  const asked = new Map<string, (answer: string[] | Error) => void>();
  const partly = new Map<string, string[]>();
  const listening = new Map<string, (listener: Server | Error) => void>();
  const beginning = new Map<string, (pid: number) => void>();
  const living = new Set<number>();
  let over: Error | null = null;
  const end = (why: Error): void => {
    over ??= why;
    forget();
    living.clear();
    for (const wait of [...asked.values(), ...listening.values()]) wait(over);
  };
  child.on("error", end);
  child.on("exit", () => end(new Error("The helper that makes sandboxes has ended; try again.")));
  input.on("error", () => {});
  output.on(
    "data",
    reader(([id, ...said]) => {
      if (id === "0" && said[0] === "ended") living.delete(Number(said[1]));
      else if (said[0] === "began") beginning.get(id!)?.(Number(said[1]));
      else if (said[0] === "more") partly.set(id!, [...(partly.get(id!) ?? []), ...said.slice(1)]);
      else asked.get(id!)?.([said[0]!, ...(partly.get(id!) ?? []), ...said.slice(1)]);
    }),
  );
  child.on("message", ({ id }: { id: string }, server) => {
    const listener = (server as Server).unref();
    const wait = listening.get(id);
    if (wait) wait(listener);
    else listener.close();
  });
  const answer = (id: string): Promise<string[]> =>
    new Promise((resolve, reject) => {
      if (over) return reject(over);
      // While somebody waits for it, and not longer, it keeps this process alive.
      for (const each of [child, output, child.channel!]) each.ref();
      asked.set(id, (said) => {
        asked.delete(id);
        partly.delete(id);
        if (asked.size === 0) for (const each of [child, input, output, child.channel!]) each?.unref();
        if (said instanceof Error) reject(said);
        else if (said[0] === "error") reject(new Error(Buffer.from(said[1]!, "latin1").toString()));
        else resolve(said);
      });
    });
  let last = 0;
  const ask = (...request: string[]): Promise<string[]> => {
    const id = String(++last);
    const said = answer(id);
    if (!over) input.write(message([id, ...request]));
    return said;
  };
  /** What listens in the sandbox that a request makes: it comes by another way than the answer, and may come after it. */
  const listenerOf = (id: string): Promise<Server> => {
    const listener = new Promise<Server>((resolve, reject) => {
      listening.set(id, (given) => (given instanceof Error ? reject(given) : resolve(given)));
    });
    // Where the answer is an error, nobody waits for it.
    listener.catch(() => {});
    return listener;
  };
  const [, landlock, ...able] = await answer("0");
  const overlays = new Set<string>();
  const runIn = async (holder: number, ...[descriptors, words]: Parameters<Run>): Promise<Running> => {
    const id = String(last + 1);
    const began = new Promise<number>((resolve) => beginning.set(id, resolve));
    const numbers = descriptors.map((fd) => (fd === null ? "-" : String(fd)));
    const said = ask("run", String(holder), ...numbers, ...words.map(bytes));
    let isBegun = false;
    const ended = said.then(
      ([, code, signal]): Ended => (signal === "0" ? [Number(code), null] : [null, signalOf(Number(signal))]),
      (error: unknown): Ended => {
        // With the helper all that it has started ends.
        if (isBegun) return [null, "SIGKILL"];
        throw error;
      },
    );
    try {
      const pid = await Promise.race([began, ended.then(() => began)]);
      isBegun = true;
      return { pid, ended };
    } finally {
      beginning.delete(id);
    }
  };
  const bytes = (path: string): string => Buffer.from(path).toString("latin1");
  return {
    pid: child.pid!,
    landlock: Number(landlock),
    renames: how === "root" ? "kernel" : able.includes("renames") ? "sandbox" : "no",
    overlays,
    overlay: async ({ at, upper, work, lower }) => {
      await ask("overlay", ...[at, upper, work, ...lower].map(bytes));
      overlays.add(at);
    },
    unmount: async (at) => {
      await ask("unmount", bytes(at));
      overlays.delete(at);
    },
    remove: async (path) => void (await ask("remove", bytes(path))),
    spread: async (path) => void (await ask("spread", bytes(path))),
    changed: async (path, since) => {
      const time = String(BigInt(Math.max(0, Math.floor(since))) * 1_000_000n);
      return (await ask("changed", time, bytes(path))).slice(1);
    },
    fifos: async (paths) => void (await ask("fifos", ...paths.map(bytes))),
    open: async (network, renames, instructions) => {
      const port = network === "host" ? 0 : network.port;
      const id = String(last + 1);
      const listener = port === 0 ? null : listenerOf(id);
      try {
        const [, pid] = await ask("open", String(port), ...(renames ? ["renames"] : []), ...instructions);
        const number = Number(pid);
        living.add(number);
        const first = readProcess(number);
        const server = await listener;
        return {
          pid: number,
          run: able.includes("run") ? (...how) => runIn(number, ...how) : null,
          listener: server,
          alive: () => living.has(number),
          quiet: async (wanted) => (await ask("quiet", pid!, String(wanted)))[0] === "ok",
          end: async () => {
            server?.close();
            if (living.has(number)) await ask("end", pid!).catch(() => {});
            // It was killed itself: what it held dies after it, and nobody tells when.
            if (over && first) await hasEnded(first);
          },
        };
      } finally {
        listening.delete(id);
      }
    },
  };
}
