import { type StdioOptions, spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import type { Writable } from "node:stream";
import type { Ended, Running } from "./helper.ts";
import { openPipe } from "./pipe.ts";
import { ownInput } from "./stdin.ts";
import { hasProc, processTable, readProcess, send } from "./table.ts";
import { readUpTo, unnamedFile } from "./temp.ts";

/** Default of `maxOutput`: 8 MiB. */
export const MAX_OUTPUT = 8 << 20;
/** How long a command that is asked to end may take before it is killed, with all of its session. */
const GRACE_MS = 2000;

export interface CallOptions {
  stdin?: string | Uint8Array;
  /** That of this process instead; not a terminal's, of which only one session can read. */
  ownStdin?: boolean;
  /** Is given a pipe to its standard input, which stays open until it is ended. */
  onStdin?: (input: Writable) => void;
  /** Ends the command after this many milliseconds: SIGTERM to its whole session, SIGKILL to what is left after `graceMs`. */
  timeoutMs?: number;
  /** Ends the command in the same way. */
  signal?: AbortSignal;
  /** Default: 2000. */
  graceMs?: number;
  /** Sees output as it comes. With one pipe for both (see `separate`) the stream is always "stdout". */
  onOutput?: (chunk: Buffer, stream: "stdout" | "stderr") => void;
  /** Sees what background processes write after the command has ended. Without it that output is thrown away. */
  onLate?: (chunk: Buffer, stream: "stdout" | "stderr") => void;
  /** Two pipes, so that `onOutput` can tell the streams apart; the order between them is then no longer exact. */
  separate?: boolean;
  /** Bytes of output that are kept; what comes after is counted only. */
  maxOutput?: number;
}

/** How a command ended. Exactly one of `code` and `signal` is set, unless it was aborted before it began (then neither). */
export interface CallResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** Standard output and standard error, interleaved as written. */
  output: Buffer;
  /** Bytes that were written; more than `output` holds if `truncated`. */
  total: number;
  truncated: boolean;
  timedOut: boolean;
  aborted: boolean;
  ms: number;
  /** What limits of the sandbox have stopped meanwhile, in sentences; absent where nothing was. */
  limits?: string[];
}

/** A program started on the host, through whatever leads into a sandbox. */
export interface Program {
  /** Asked for at the last moment; may throw where nothing can be started any more. */
  argv: () => readonly string[];
  /** Starts the same as no child of this process; null where that cannot be. */
  run: ((descriptors: readonly (number | null)[]) => Promise<Running>) | null;
  env: Readonly<Record<string, string>>;
  /** What the program finds at descriptor 3. */
  script: string | Uint8Array;
  /** Bytes of the report that it may write to descriptor 4. */
  maxReport: number;
  /** Whether the process that `argv` starts only waits for the command in another pid namespace, instead of being it. */
  proxy: boolean;
}

export type ProgramResult = CallResult & {
  /** What was written to descriptor 4, up to one byte more than `maxReport`. */
  report: Buffer;
};

/** A call that has begun. */
export interface Call {
  /** Settles when the command itself has ended and all it wrote is read; processes it left behind may live on. */
  result: Promise<ProgramResult>;
  /** Resolves when no process holds its output open any more. */
  closed: Promise<void>;
  pid: number | undefined;
  /** Stops listening to processes that were left behind. */
  leave(): void;
}

const aborted = (): ProgramResult => ({
  code: null,
  signal: null,
  output: Buffer.alloc(0),
  total: 0,
  truncated: false,
  timedOut: false,
  aborted: true,
  ms: 0,
  report: Buffer.alloc(0),
});

/** Starts a program and collects what it writes. */
export async function startCall(program: Program, options: CallOptions): Promise<Call> {
  const pipes = options.separate ? [await openPipe(), await openPipe()] : [await openPipe()];
  if (options.signal?.aborted) {
    for (const pipe of pipes) for (const fd of [pipe.read, pipe.write]) fs.closeSync(fd);
    return { result: Promise.resolve(aborted()), closed: Promise.resolve(), pid: undefined, leave: () => {} };
  }
  const own = options.ownStdin && !options.onStdin ? await ownInput() : null;
  const files: number[] = [];
  try {
    for (const text of options.stdin === undefined ? [program.script] : [program.script, options.stdin])
      files.push(unnamedFile(text));
    const report = unnamedFile("", true);
    files.push(report);
    const [out, err] = [pipes[0]!.write, pipes.at(-1)!.write];
    const given = options.stdin === undefined ? "ignore" : files[1]!;
    const input = options.onStdin ? "pipe" : (own?.stdio ?? given);
    const started = performance.now();
    const child =
      program.run && input !== "pipe"
        ? began(await program.run([input === "ignore" ? null : input, out, err, files[0]!, report]))
        : spawned(program, [input, out, err, files[0]!, report], options);
    files.pop();
    own?.begin();
    const reads = pipes.map((pipe) => pipe.read);
    return follow(child, reads, report, started, { ...options, maxReport: program.maxReport });
  } catch (error) {
    for (const pipe of pipes) fs.closeSync(pipe.read);
    throw error;
  } finally {
    own?.release();
    for (const fd of [...files, ...pipes.map((pipe) => pipe.write)]) fs.closeSync(fd);
  }
}

/** A process that was started. */
interface Child {
  pid: number | undefined;
  /** Whether it only waits for the command in another pid namespace. */
  proxy: boolean;
  isRunning(): boolean;
  ended: Promise<Ended>;
}

function childOf(pid: number | undefined, proxy: boolean, ended: Promise<Ended>): Child {
  let running = true;
  const child: Child = { pid, proxy, isRunning: () => running, ended };
  ended
    .catch(() => {})
    .then(() => {
      running = false;
    });
  return child;
}

const began = ({ pid, ended }: Running): Child => childOf(pid, false, ended);

function spawned({ argv, env, proxy }: Program, stdio: StdioOptions, { onStdin }: CallOptions): Child {
  const [file, ...words] = argv();
  const child = spawn(file!, words, { stdio, env, cwd: "/", detached: true });
  if (child.stdin) {
    child.stdin.on("error", () => {});
    onStdin?.(child.stdin);
  }
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (...how) => resolve(how));
  });
  return childOf(child.pid, proxy, ended);
}

function follow(
  child: Child,
  reads: number[],
  report: number,
  started: number,
  options: CallOptions & Pick<Program, "maxReport">,
): Call {
  const limit = options.maxOutput ?? MAX_OUTPUT;
  const kept: Buffer[] = [];
  let [room, total, over, timedOut, stopped] = [limit, 0, false, false, false];
  let failure: unknown;
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopping ??= endSession(child, options.graceMs ?? GRACE_MS);
  };
  const sockets = reads.map((fd, i) => {
    const stream = i === 0 ? "stdout" : "stderr";
    const socket = new net.Socket({ fd, readable: true, writable: false });
    socket.on("data", (chunk: Buffer) => {
      if (!over) {
        total += chunk.length;
        if (room > 0) kept.push(chunk.subarray(0, room));
        room -= Math.min(room, chunk.length);
      }
      try {
        (over ? options.onLate : options.onOutput)?.(chunk, stream);
      } catch (error) {
        failure ??= error;
        stop();
      }
    });
    socket.on("error", () => {});
    return socket;
  });
  const closed = Promise.all(sockets.map((s) => new Promise<void>((resolve) => s.once("close", () => resolve()))));

  const result = async (): Promise<ProgramResult> => {
    const abort = () => {
      stopped = true;
      stop();
    };
    const timer =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            stop();
          }, options.timeoutMs);
    const watch = child.proxy ? setInterval(() => wake(child.pid!), 1000) : undefined;
    options.signal?.addEventListener("abort", abort, { once: true });
    // While it was started.
    if (options.signal?.aborted) abort();
    try {
      const [code, signal] = await child.ended;
      await stopping;
      await drain(sockets, () => total);
      over = true;
      if (failure) throw failure;
      const ms = performance.now() - started;
      const output = Buffer.concat(kept.splice(0));
      const found = readUpTo(report, options.maxReport + 1);
      return { code, signal, output, total, truncated: total > limit, timedOut, aborted: stopped, ms, report: found };
    } finally {
      over = true;
      clearTimeout(timer);
      clearInterval(watch);
      options.signal?.removeEventListener("abort", abort);
      fs.closeSync(report);
      for (const socket of sockets) socket.unref();
    }
  };
  return {
    result: result(),
    closed: closed.then(() => {}),
    pid: child.pid,
    leave: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

/**
 * Reads what is in the pipes. Turns of the event loop that bring nothing show that they are empty. A process that was left behind
 * and goes on writing is given up by what it wrote (more than any pipe holds) and by turns, never by the clock, which a busy
 * process would lose to.
 */
async function drain(sockets: readonly net.Socket[], total: () => number): Promise<void> {
  const from = total();
  for (let turn = 0, quiet = 0; quiet < 3 && turn < 1000 && !sockets.every((s) => s.destroyed); turn++) {
    const before = total();
    await new Promise((resolve) => setImmediate(resolve));
    quiet = total() === before ? quiet + 1 : 0;
    if (total() - from > 2 << 20) return;
  }
}

/** The command behind a process that waits for it in another namespace. */
const commandOf = (pid: number) => processTable().find((p) => p.parent === pid);

/** A proxy stops itself when its command is stopped, and would miss that somebody inside let it go on. */
function wake(pid: number): void {
  if (readProcess(pid)?.state === "T" && commandOf(pid)?.state !== "T") send(pid, "SIGCONT");
}

/** Ends a command with all of its session: SIGTERM, then SIGKILL. Resolves when none of it is left. */
async function endSession({ pid, proxy, isRunning: running }: Child, graceMs: number): Promise<void> {
  if (pid === undefined) return;
  let leader = proxy ? undefined : pid;
  const members = (): number[] => {
    if (!hasProc) return send(-pid, 0) ? [-pid] : [];
    const table = processTable();
    // Its number cannot pass to another process while anything of its session lives.
    if (running()) leader ??= table.find((p) => p.parent === pid)?.pid;
    const all = table.filter((p) => p.state !== "Z" && [p.pid, p.group, p.session].includes(leader ?? -1));
    return all.map((p) => p.pid);
  };
  const signalAll = (signal: NodeJS.Signals) => {
    const all = members();
    for (const member of all) send(member, signal);
    if (all.length === 0 && running()) send(pid, signal);
    if (proxy && signal === "SIGKILL" && running()) send(pid, "SIGCONT");
  };
  signalAll("SIGTERM");
  const until = performance.now() + graceMs;
  while (running() || members().length > 0) {
    if (performance.now() > until) signalAll("SIGKILL");
    // What not even SIGKILL ends hangs in the kernel: the command's own end is enough then.
    if (!running() && performance.now() > until + 5000) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
