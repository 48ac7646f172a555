import { spawn } from "node:child_process";
import fs from "node:fs";
import type { Server } from "node:net";
import path from "node:path";
import { type Abilities, detectMethod } from "./abilities.ts";
import { type CallOptions, type CallResult, type Program, type ProgramResult, startCall } from "./call.ts";
import { type DiskWatch, watchDisk } from "./disk.ts";
import { HOLDER_NAME, type Run } from "./helper.ts";
import { type Holder, isRoot, startHolder } from "./holder.ts";
import { processesIn } from "./inside.ts";
import { diskLimit, type Limiter, makeLimiter, timeLimit } from "./limit.ts";
import { quote, quoteAll } from "./quote.ts";
import { bashIn, clearPlaces, NoRoot, whyNot } from "./root.ts";
import type { SandboxSpec } from "./spec.ts";
import { commandLine, readProcess } from "./table.ts";
import { unnamedFile } from "./temp.ts";
import { needProgram } from "./tools.ts";
import { startTracker, type Tracker } from "./track.ts";
import { planView, translate } from "./view.ts";

/** A command of a scope. Paths are those seen inside. */
export interface Command {
  /** Program and arguments; the program is looked for on the PATH of the command's environment. */
  argv: readonly (string | Uint8Array)[];
  /** Default: where the first bind is seen. */
  cwd?: string | Uint8Array;
  /** Added to the sandbox's environment; null removes. */
  env?: Readonly<Record<string, string | null>>;
  /**
   * Whether it and what it starts are what the run consists of. It is then behind Landlock, too, where the kernel has it. Commands beside each
   * other are not: none could look at what another one has started (a debugger, `lsof`), since the kernel relates what it holds by descent alone.
   */
  alone?: boolean;
}

/** A process inside, by its number inside (without namespaces: the host's). */
export interface ProcessInfo {
  pid: number;
  command: string;
}

/** A bash that is started inside with a script at descriptor 3 and may report at descriptor 4. */
export interface Script {
  /** Of bash; null where the script is none, but what the helper is to start. */
  args: readonly string[] | null;
  alone?: boolean | undefined;
  script: string | Uint8Array;
  maxReport: number;
}

/** A place where commands of one scope run. All of it ends with `dispose`, and with this process. */
export interface Sandbox {
  readonly abilities: Abilities;
  /** Where commands start. */
  readonly home: string;
  /** Accepts what connects to the port of its network; null where it has no network of its own. */
  readonly listener: Server | null;
  /** Arguments that start a program of the host in its network, and in nothing else of it; null where that is the host's. */
  enterNetwork(): string[] | null;
  /** The whole environment of commands. */
  readonly env: Readonly<Record<string, string>>;
  /**
   * Runs a command and resolves when it has ended; background processes that it started live on. Throws if it cannot start. `service`: it goes on
   * while others come and go, so no time limit counts for it, and it is stopped with those that are `left`.
   */
  exec(command: Command & CallOptions & { service?: boolean }): Promise<CallResult>;
  /** Runs a command on the terminal of this process. */
  interactive(command: Command): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** What still runs inside, besides the sandbox's own process. */
  processes(): Promise<ProcessInfo[]>;
  /**
   * The same by their numbers on the host, and without starting a process inside. `left`: without those that a call waits for, so only what they
   * or earlier calls have started.
   */
  inside(options?: { left: boolean }): Promise<number[]>;
  /** The command lines of what calls that have ended have left running. `pids`: what `inside` has just given. */
  leftRunning(pids?: readonly number[]): Promise<string[]>;
  /** Works on the files that it shows while nothing but commands changes them: see `Holder`. */
  quiet<T>(work: () => Promise<T>): Promise<T>;
  /** Kills all that `processes` names; resolves when it is gone. */
  killAll(): Promise<void>;
  /** Kills everything inside and takes the mounts down. Running calls end with SIGKILL. */
  dispose(): Promise<void>;
  /** Runs a bash of our own inside; the ground of `exec` and of shells. */
  run(script: Script, options?: CallOptions): Promise<ProgramResult>;
  /** A path inside as commands must be told it, and back (`in`): the same unless `samePath` is false. Byte strings (latin1). */
  translate(at: string, way: "out" | "in"): string;
}

const FD = process.platform === "linux" ? "/proc/self/fd" : "/dev/fd";
/** The script at descriptor 3, as a path that bash can read. */
export const SCRIPT = `${FD}/3`;
const PLAIN = ["--norc", "--noprofile"];
/**
 * Closes what this process itself inherited from its parent and every child of it would get: an open directory would lead out of
 * the sandbox. bash's own script is closed as well, so this must stand in a command that bash has read to its end.
 */
export const CLOSE_OTHERS = `for SHEPHERD_FD in ${FD}/*; do
SHEPHERD_FD=\${SHEPHERD_FD##*/}; case $SHEPHERD_FD in [0-4] | *[!0-9]*) ;; *) eval "exec $SHEPHERD_FD<&-";; esac
done; unset SHEPHERD_FD`;
/** What a shell sets anew wherever it starts. */
const OWN = ["PWD", "OLDPWD", "SHLVL", "_"];

const LIST = `for d in /proc/[0-9]*; do
  p=\${d#/proc/}; if [ "$p" = 1 ] || [ "$p" = "$$" ]; then continue; fi
  c= a=; while a=; IFS= read -r -d '' a; do c+="\${c:+ }$a"; done 2>/dev/null <"$d/cmdline"
  if [ -n "$a" ]; then c+="\${c:+ }$a"; fi
  if [ -n "$c" ]; then printf '%s %s\\0' "$p" "$c" >&4; fi
done`;

/** Kills all but itself and number 1; refuses unless number 1 is ours, for elsewhere this would be the whole host. */
const KILL = `n=; while IFS= read -r -d '' a; do n="$n $a"; done </proc/1/cmdline
case "$n " in *" ${HOLDER_NAME} "*) ;; *) exit 1;; esac
for i in {1..500}; do
  kill -KILL -1 2>/dev/null || exit 0
  rest=; for d in /proc/[0-9]*; do
    case $d in /proc/1 | /proc/$$) continue;; esac
    s=; read -r s 2>/dev/null <"$d/stat"; s=\${s##*) }; case $s in Z* | X* | '') ;; *) rest=1;; esac
  done
  [ -n "$rest" ] || exit 0
  sleep 0.01
done
exit 1`;

/** How a program of ours ends. */
const ended = ([program, ...words]: string[]): Promise<{ code: number | null; signal: NodeJS.Signals | null }> =>
  new Promise((resolve, reject) => {
    const child = spawn(program!, words, { stdio: "ignore", env: {}, cwd: "/" });
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });

/** For scripts of our own, which end at once unless the host is out of order. */
const PATIENCE = { timeoutMs: 60_000 };

/**
 * Opens a sandbox. While it is open, nobody may remove the directories that it shows, nor the mount points that it made in `tmp`.
 * Opened from a worker thread it ends with that thread.
 *
 * Without namespaces (see `detect`) commands run in the private directories themselves, and this is lost: paths are not those of the
 * user's project; nothing is hidden, read-only or private (`hide`, `readOnly`, `writable` and scratch caches do nothing, and of `tmp`
 * only TMPDIR tells); a process that clears its environment outlives `dispose`; and when this process is killed, its commands live on until
 * the next that drives the scope calls `endLeftOver`.
 */
export async function openSandbox(spec: SandboxSpec): Promise<Sandbox> {
  const { abilities, method } = await detectMethod();
  const home = spec.home ?? spec.binds[0]?.to;
  if (home === undefined) throw new TypeError("A sandbox needs at least one bind, where its commands start.");
  const ownRoot = spec.root;
  if (ownRoot !== undefined && !(method && "helper" in method))
    throw new NoRoot(
      `An image can be a run's root only where Shepherd's helper makes its sandbox. ${whyNot(abilities)}`,
    );
  const bash = needProgram("bash", "bash");
  const envTool = needProgram("env", "coreutils");
  if (!fs.existsSync(spec.tmp)) {
    fs.mkdirSync(spec.tmp, { recursive: true });
    fs.chmodSync(spec.tmp, 0o1777);
  }

  let holder: Holder | null = null;
  let limiter: Limiter | null = null;
  const env: Record<string, string> = { ...spec.env };
  for (const name of [...OWN, "TMPDIR", "TMP", "TEMP"]) delete env[name];
  const tracker: Tracker | null = method ? null : startTracker(undefined, spec.scope);
  if (method) {
    if (ownRoot !== undefined) clearPlaces(ownRoot);
    const view = planView(spec, isRoot());
    Object.assign(env, view.env);
    holder = await startHolder(view.pieces, method, spec.network);
  } else {
    env.TMPDIR = path.resolve(spec.tmp);
  }
  if (spec.limits) limiter = makeLimiter(spec.limits);

  let disk: DiskWatch | null = null;
  let disposed: Promise<void> | null = null;
  /** Calls on their way or running, then those whose output somebody still holds. */
  const under = new Set<Promise<unknown>>();
  /** What is waited for, by its number on the host, and whether that is a service. */
  const waited = new Map<number, boolean>();
  const leaving = new Set<() => void>();
  const check = () => {
    if (disposed) throw new Error("The sandbox is disposed; open another.");
    if (holder && !holder.alive())
      throw new Error(
        "The sandbox has ended (its first process was killed); go on in a new one, as `shepherd resume` does.",
      );
  };
  const way = (at: string, direction: "out" | "in") => (holder ? at : translate(spec.binds, at, direction));
  /** `own`: for scripts of ours, which must work also where the limits leave no room. */
  const enter = (session = true, own = false, wall = false): string[] => {
    check();
    return [...(own ? [] : (limiter?.words ?? [])), ...(holder ? holder.enter({ session, wall }) : [])];
  };
  const baseEnv = tracker?.env ?? {};
  const bashInside = (): string => (ownRoot === undefined ? bash : bashIn(ownRoot));

  const start = async (
    { args, script, maxReport, alone }: Script,
    options: CallOptions,
    own: boolean,
    service = false,
  ): Promise<ProgramResult> => {
    check();
    const argv = () => [...enter(true, own, alone), ...(args ? [bashInside(), ...PLAIN, ...args] : [])];
    // What limits it is a shell before it.
    const within = own || (limiter?.words.length ?? 0) === 0 ? holder?.run : null;
    const run = within
      ? async (descriptors: Parameters<Run>[0]) => {
          check();
          const words = args ? [bashInside(), ...PLAIN, ...args] : [];
          try {
            return await within(descriptors, words, alone);
          } catch (error) {
            check();
            throw new Error(`The command could not be started: ${(error as Error).message}.`);
          }
        }
      : null;
    const program: Program = { argv, run, env: baseEnv, script, maxReport, proxy: holder !== null };
    const work = (async () => {
      const call = await startCall(program, options);
      const pid = call.pid ?? -1;
      if (call.pid !== undefined) tracker?.began(pid);
      waited.set(pid, service);
      leaving.add(call.leave);
      void call.closed.then(() => leaving.delete(call.leave));
      return call.result.finally(() => waited.delete(pid));
    })();
    under.add(work);
    try {
      return await work;
    } finally {
      under.delete(work);
    }
  };
  const runOwn = (script: Script): Promise<ProgramResult> => start(script, PATIENCE, true);
  const run = async (script: Script, options: CallOptions = {}, service = false): Promise<ProgramResult> => {
    const most = (service ? undefined : spec.limits?.time) ?? Number.POSITIVE_INFINITY;
    const shortened = most < (options.timeoutMs ?? Number.POSITIVE_INFINITY);
    const stopped = limiter?.watch();
    const killed = disk?.killed();
    const result = await start(script, shortened ? { ...options, timeoutMs: most } : options, false, service);
    const limits = stopped?.() ?? [];
    if (disk && disk.killed() !== killed) limits.push(diskLimit(spec.limits!.disk!));
    if (shortened && result.timedOut) limits.push(timeLimit(most));
    return limits.length > 0 ? { ...result, limits } : result;
  };

  /** Where a command starts, its variables, and its words. */
  const parts = ({ argv, cwd = home, env: more = {} }: Command) => {
    if (argv.length === 0) throw new TypeError("A command needs a program; give its name as first word of argv.");
    const all: Record<string, string | null> = { ...env, PWD: null, ...more, ...baseEnv };
    const at = Buffer.from(way(Buffer.from(cwd as string).toString("latin1"), "out"), "latin1");
    const pairs: Array<string | Uint8Array> = [];
    if (more.PWD === undefined) pairs.push(Buffer.concat([Buffer.from("PWD="), at]));
    for (const [name, value] of Object.entries(all)) {
      if (name === "" || name.includes("=")) throw new TypeError(`${JSON.stringify(name)} is no name of a variable.`);
      if (value !== null) pairs.push(`${name}=${value}`);
    }
    return { at, pairs, argv };
  };

  /** The script that becomes the command: its environment is never seen by what runs outside. */
  const launcher = (command: Command): string => {
    const { at, pairs, argv } = parts(command);
    const [program, ...words] = argv;
    // env(1) would take a program with a "=" in its name for a variable.
    const start = `${envTool} -i ${quoteAll(pairs)}`;
    const odd = Buffer.from(program as string).includes("=");
    const what = odd ? `${bash} -c ${quote('exec -- "$0" "$@"')}` : "";
    return `{ ${CLOSE_OTHERS}
cd -- ${quote(at)} 2>/dev/null || { printf c >&4; exit 125; }
printf s >&4
exec 3<&- 4>&-
exec ${start} ${what} ${quoteAll([program!, ...words])}; }
`;
  };
  const started = (command: Command): Script => {
    const { alone } = command;
    if (!holder?.launches) return { args: [SCRIPT], script: launcher(command), maxReport: 16, alone };
    const { at, pairs, argv } = parts(command);
    const words = [at, String(pairs.length), ...pairs, ...argv].map((word) => Buffer.from(word as string));
    if (words.some((word) => word.includes(0))) throw new TypeError("A word of a command has a zero byte in it.");
    return { args: null, script: Buffer.concat(words.flatMap((word) => [word, Buffer.of(0)])), maxReport: 16, alone };
  };
  const failed = (report: Buffer, cwd: Command["cwd"], said: string): Error | null => {
    if (report[0] === 0x73) return null;
    if (report[0] === 0x63)
      return new Error(
        `The directory ${JSON.stringify(Buffer.from((cwd ?? home) as string).toString())} does not exist in the sandbox; start in another.`,
      );
    return new Error(`The command could not be started: ${said.trim() || "the sandbox has ended"}.`);
  };

  const exec: Sandbox["exec"] = async (command) => {
    const { argv, cwd, env: more, alone, service, ...options } = command;
    const done = await run(started(command), options, service);
    const { report, ...result } = done;
    const error = result.aborted || result.timedOut || disposed ? null : failed(report, cwd, result.output.toString());
    if (error) throw error;
    return result;
  };

  const interactive: Sandbox["interactive"] = async (command) => {
    const { args, script } = started(command);
    const files = [unnamedFile(script), unnamedFile("", true)];
    const work = (async () => {
      // A shell inside cannot give the terminal back to a process group that it cannot see: a bash outside takes it.
      // Without a terminal it would be of our own process group, and what it sends to its group would come to us.
      const lend = process.stdin.isTTY ? [bash, ...PLAIN, "-c", 'set -m; "$@"; exit "$?"', "shepherd"] : [];
      const [file, ...words] = [
        ...lend,
        ...enter(lend.length === 0, false, command.alone),
        ...(args ? [bash, ...PLAIN, ...args] : []),
      ];
      const child = spawn(file!, words, { stdio: ["inherit", "inherit", "inherit", ...files], env: baseEnv, cwd: "/" });
      const pid = child.pid ?? -1;
      waited.set(pid, false);
      return await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
        child.once("error", reject);
        child.once("exit", (code, signal) => resolve({ code, signal }));
      }).finally(() => waited.delete(pid));
    })();
    under.add(work);
    try {
      const done = await work;
      const report = Buffer.alloc(1);
      fs.readSync(files[1]!, report, 0, 1, 0);
      const error = failed(report, command.cwd, "");
      if (error && done.signal === null) throw error;
      return done;
    } finally {
      under.delete(work);
      for (const fd of files) fs.closeSync(fd);
    }
  };

  const processes = async (): Promise<ProcessInfo[]> => {
    check();
    if (tracker) return tracker.list();
    const { report, code } = await runOwn({ args: [SCRIPT], script: LIST, maxReport: 16 << 20 });
    if (code !== 0)
      throw new Error(
        "The processes of the sandbox cannot be listed: it has ended, or there is no memory for one more.",
      );
    const lines = report.toString().split("\0").slice(0, -1);
    return lines.map((line) => ({ pid: Number.parseInt(line, 10), command: line.slice(line.indexOf(" ") + 1) }));
  };

  const inside: Sandbox["inside"] = async ({ left } = { left: false }) => {
    const pids = holder ? processesIn(holder.namespace, holder.pid) : (await tracker!.list()).map(({ pid }) => pid);
    const services = [...waited].flatMap(([pid, service]) => (service ? [pid] : []));
    const parents = new Set([...pids, holder?.pid ?? 1, ...services]);
    return left ? pids.filter((pid) => parents.has(readProcess(pid)?.parent ?? -1) || services.includes(pid)) : pids;
  };

  const leftRunning: Sandbox["leftRunning"] = async (pids) => {
    const all = holder
      ? (pids ?? (await inside())).map((pid) => ({ pid, command: commandLine(pid) }))
      : await tracker!.list();
    const isWaitedFor = (pid: number): boolean => {
      for (let at = pid; at > 1 && at !== process.pid; at = readProcess(at)?.parent ?? 0)
        if (waited.has(at)) return true;
      return false;
    };
    return all.flatMap(({ pid, command }) => (command && !isWaitedFor(pid) ? [command] : []));
  };

  /** Nothing is given up that it may still need. */
  const endedUnder = async (argv: string[]): ReturnType<typeof ended> => {
    const work = ended(argv);
    under.add(work);
    return work.finally(() => under.delete(work));
  };

  const killAll = async (): Promise<void> => {
    check();
    if (tracker) return tracker.kill();
    const killing = holder?.killing();
    const { code, signal } = killing
      ? await endedUnder(killing)
      : await runOwn({ args: [SCRIPT], script: KILL, maxReport: 0 });
    if (code !== 0 && signal !== "SIGKILL")
      throw new Error("Some processes of the scope cannot be killed; dispose the sandbox instead.");
  };

  const dispose = async (): Promise<void> => {
    disk?.end();
    try {
      holder?.listener?.close();
      await holder?.end();
      await tracker?.kill();
      await Promise.allSettled(under);
    } finally {
      for (const leave of leaving) leave();
      holder?.release();
      await limiter?.remove();
    }
  };

  if (spec.limits?.disk !== undefined && spec.files !== undefined)
    disk = await watchDisk({ folder: spec.files, most: spec.limits.disk, pids: inside, kill: killAll });

  return {
    abilities,
    home,
    listener: holder?.listener ?? null,
    enterNetwork: () => {
      check();
      return holder?.enterNetwork() ?? null;
    },
    env,
    exec,
    interactive,
    processes,
    inside,
    leftRunning,
    quiet: (work) => (holder ? holder.quiet(work) : work()),
    killAll,
    dispose: () => {
      disposed ??= dispose();
      return disposed;
    },
    run,
    translate: way,
  };
}
