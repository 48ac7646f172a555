import { randomBytes } from "node:crypto";
import { posix } from "node:path";
import { readDeclared, readOptions } from "./bashtext.ts";
import type { CallOptions, CallResult } from "./call.ts";
import type { Sandbox } from "./sandbox.ts";
import { LOST_CWD, LOST_FUNCTION, restoreScript, shellArguments } from "./shellscript.ts";
import {
  fromText,
  isName,
  type ShellFunction,
  type ShellState,
  type Text,
  toText,
  type Variable,
} from "./shellstate.ts";

/** The largest state that is carried: 1 MiB as bash writes it. */
const MAX_STATE = 1 << 20;

export interface ShellResult {
  result: CallResult;
  /** The state after the command; the one before it if `stateLost`. */
  state: ShellState;
  /** Why the state after the command is not known, in one sentence. */
  stateLost?: string;
  /** What of the state before could not be brought back, in sentences for the caller. */
  notices: string[];
}

/** Variables that a shell sets by itself, or that are ours. */
const OWN = new Set(
  `_ SHLVL PWD OLDPWD PPID RANDOM SRANDOM SECONDS EPOCHSECONDS EPOCHREALTIME LINENO UID EUID SHELLOPTS DIRSTACK FUNCNAME GROUPS
  HISTCMD PIPESTATUS SHEPHERD_STATUS SHEPHERD_FD SHEPHERD_SANDBOX`.split(/\s+/),
);
const isOwn = (name: string) =>
  OWN.has(name) || (name.startsWith("BASH") && name !== "BASH_ENV" && name !== "BASH_COMPAT");

const byName = (a: readonly [Text, ...unknown[]], b: readonly [Text, ...unknown[]]) =>
  Buffer.compare(fromText(a[0]), fromText(b[0]));
const latin1 = (text: string) => toText(Buffer.from(text, "latin1"));
const bytes = (text: Text) => fromText(text).toString("latin1");

/** The state of a shell that has just been started in the sandbox, at a directory relative to its home. Variables whose name is none for a shell are left out. */
export function initialShell(sandbox: Sandbox, at = ""): ShellState {
  const env: Variable[] = [];
  const functions: ShellFunction[] = [];
  for (const [name, value] of Object.entries(sandbox.env)) {
    const [, exported] = /^BASH_FUNC_(.+)%%$/s.exec(name) ?? [];
    if (exported) functions.push([exported, `${exported} ${value}`, "x"]);
    else if (isName(name) && !isOwn(name)) env.push([name, value]);
  }
  return {
    v: 1,
    cwd: posix.join(sandbox.home, at),
    oldcwd: null,
    env: env.sort(byName),
    functions: functions.sort(byName),
    options: "",
    aliases: "",
    umask: process.umask().toString(8).padStart(4, "0"),
  };
}

/**
 * Runs a command in a new bash that begins in `state` (null: as a new shell) as if it were typed into the shell that the state was
 * taken from, and takes the state after it, also where the command ends the shell. Rejects like `Sandbox.run`.
 */
export async function runShell(
  sandbox: Sandbox,
  command: string | Uint8Array,
  state: ShellState | null,
  options: CallOptions = {},
): Promise<ShellResult> {
  const before = state ?? initialShell(sandbox);
  const nonce = randomBytes(16).toString("hex");
  const out = (at: string) => sandbox.translate(at, "out");
  const places = ancestors(bytes(before.cwd), Buffer.from(sandbox.home).toString("latin1")).map(out);
  const former = before.oldcwd === null ? null : out(bytes(before.oldcwd));
  const script = restoreScript(before, command, { places, former }, nonce);
  const done = await sandbox.run({ args: shellArguments(nonce), script, maxReport: MAX_STATE }, options);
  const { report, ...result } = done;
  const notices: string[] = [];
  const text = report.toString("latin1");
  const begin = text.indexOf(`D${nonce}\0`);
  for (const line of text.slice(0, begin < 0 ? undefined : begin).split("\0")) {
    if (line === LOST_CWD)
      notices.push(
        `The directory ${show(before.cwd)} is gone; the command ran in the nearest one above it that is left.`,
      );
    if (line.startsWith(LOST_FUNCTION))
      notices.push(
        `The function ${show(latin1(line.slice(LOST_FUNCTION.length)))} could not be defined again; define it anew.`,
      );
  }
  const lost = (stateLost: string): ShellResult => ({ result, state: before, stateLost, notices });
  if (report.length > MAX_STATE)
    return lost("The state of the shell is larger than 1 MiB, so that of the call before is kept.");
  const end = text.lastIndexOf(`\0E${nonce}\0`);
  if (begin < 0 || end < begin) return lost(reason(result));
  try {
    return { result, state: readState(text.slice(begin + nonce.length + 2, end + 1), sandbox), notices };
  } catch (error) {
    return lost(
      `The state of the shell cannot be read (${(error as Error).message}), so that of the call before is kept.`,
    );
  }
}

const show = (text: Text) => JSON.stringify(fromText(text).toString());

function reason(result: CallResult): string {
  const how = result.timedOut
    ? "was ended at its time limit"
    : result.aborted
      ? "was aborted"
      : result.signal
        ? `was ended by ${result.signal}`
        : "replaced the shell or its EXIT trap";
  return `The command ${how}, so the state of the shell is that of the call before.`;
}

/** A directory and those above it, at most up to `home`; then `home`. */
function ancestors(at: string, home: string): string[] {
  const found = [at];
  if (at.startsWith(`${home}/`))
    for (let end = at.lastIndexOf("/"); end > home.length; end = at.lastIndexOf("/", end - 1))
      found.push(at.slice(0, end));
  return [...found, home];
}

/**
 * bash prints `coproc cmd` as `coproc COPROC cmd`, which it reads as a command named COPROC: such a definition would change with
 * each call, and never work again.
 */
const repair = (definition: string) =>
  definition.replace(/\bcoproc COPROC (?![{(]|\[\[|(?:for|while|until|if|case|select)\b)/g, "coproc ");

/** Reads the parts between the marks of a report; each ends with a NUL byte. Throws on anything that is not a state. */
function readState(text: string, sandbox: Sandbox): ShellState {
  const parts = text.split("\0").slice(0, -1);
  const [set, shopt, umask, pwd, old, aliases, variables, names, ...definitions] = parts;
  if (names === undefined) throw new Error("parts are missing");
  if (!/^[0-7]{4}\n$/.test(umask!)) throw new Error("no umask");
  if (!/^\/.*\n$/s.test(pwd!)) throw new Error("no directory");
  if (old !== "" && !old!.startsWith("=")) throw new Error("no former directory");
  const inside = (at: string) => latin1(sandbox.translate(at, "in"));
  const env = readDeclared(variables!)
    .filter(({ name }) => !isOwn(name))
    .map(({ name, attributes, value }): Variable => {
      const rest = [...attributes]
        .filter((letter) => letter !== "x")
        .sort()
        .join("");
      const what = value === null ? null : latin1(value);
      return rest === "" ? [name, what] : [name, what, rest];
    });
  const listed = names.split("\n").filter((line) => line !== "");
  if (listed.length !== definitions.length) throw new Error("functions are missing");
  const functions = listed.map((line, i): ShellFunction => {
    const [, attributes, name] = /^declare -f([a-z]*) (.+)$/s.exec(line) ?? [];
    if (name === undefined) throw new Error("no function");
    const definition = repair(definitions[i]!);
    if (attributes === "") return [latin1(name), latin1(definition)];
    // bash prints the attributes after the definition once more.
    const tail = `declare -f${attributes} ${name}\n`;
    const body = definition.endsWith(`\n${tail}`) ? definition.slice(0, -tail.length) : definition;
    return [latin1(name), latin1(body), [...attributes!].sort().join("")];
  });
  return {
    v: 1,
    cwd: inside(pwd!.slice(0, -1)),
    oldcwd: old === "" ? null : inside(old!.slice(1)),
    env: env.sort(byName),
    functions: functions.sort(byName),
    options: readOptions(set!, shopt!),
    aliases: latin1(aliases!),
    umask: umask!.slice(0, -1),
  };
}
