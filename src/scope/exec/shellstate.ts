import { isUtf8 } from "node:buffer";
import { readList } from "./bashtext.ts";

/** Bytes in JSON: text where they are UTF-8, base64 where they are not. */
export type Text = string | { base64: string };

/** An exported variable. The value is null where the variable is exported but not set. */
export type Variable = [name: string, value: Text | null] | [name: string, value: Text | null, attributes: string];

/** A function: its definition as bash prints it, and attributes (`x` exported, `r` read-only, `t` traced). */
export type ShellFunction = [name: Text, definition: Text] | [name: Text, definition: Text, attributes: string];

/**
 * What a shell knows between two commands of one thread: where it is, its exported variables, functions, options, aliases and
 * umask. Not part of it: variables that are not exported, traps, jobs, the directory stack, limits, and what the shell sets by itself.
 */
export interface ShellState {
  v: 1;
  /** Directory, as the path seen inside a sandbox. */
  cwd: Text;
  /** Where `cd -` goes; null if nowhere yet. */
  oldcwd: Text | null;
  /** Sorted by name. Attributes are bash's letters but `x`; with `a` or `A` the value is the list as bash writes it. */
  env: Variable[];
  /** Sorted by name. */
  functions: ShellFunction[];
  /** Lines of `set -o` and `shopt -s` for options that are not as in a new shell, sorted. */
  options: string;
  /** As `alias -p` prints them. */
  aliases: Text;
  umask: string;
}

export const toText = (bytes: Uint8Array): Text =>
  isUtf8(bytes) ? Buffer.from(bytes).toString() : { base64: Buffer.from(bytes).toString("base64") };

export const fromText = (text: Text): Buffer =>
  typeof text === "string" ? Buffer.from(text) : Buffer.from(text.base64, "base64");

/** Canonical bytes: equal states give equal bytes. */
export const encodeShell = (state: ShellState): Uint8Array =>
  Buffer.from(
    JSON.stringify(state, (_, value: unknown) =>
      value !== null && typeof value === "object" && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
        : value,
    ),
  );

/** Reads what `encodeShell` wrote. Throws on anything else. */
export function decodeShell(bytes: Uint8Array): ShellState {
  const wrong = (what: string) =>
    new Error(`This is no shell state (${what}); it was damaged, or written by a newer version: update shepherd.`);
  let state: ShellState;
  try {
    state = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as ShellState;
  } catch {
    throw wrong("no JSON");
  }
  if (typeof state !== "object" || state === null || state.v !== 1) throw wrong("version");
  const text = (value: unknown): boolean =>
    typeof value === "string" ||
    (typeof value === "object" && value !== null && typeof (value as { base64?: unknown }).base64 === "string");
  const rows = (list: unknown, check: (row: unknown[]) => boolean) =>
    Array.isArray(list) && list.every((row) => Array.isArray(row) && row.length >= 2 && row.length <= 3 && check(row));
  const attributes = (value: unknown) =>
    value === undefined || (typeof value === "string" && /^[A-Za-z]*$/.test(value));
  if (!text(state.cwd) || !(state.oldcwd === null || text(state.oldcwd))) throw wrong("cwd");
  if (!rows(state.env, (r) => isName(r[0]) && (r[1] === null || text(r[1])) && attributes(r[2]))) throw wrong("env");
  for (const [, value, letters = ""] of state.env)
    if (/[aA]/.test(letters) && value !== null && !isList(fromText(value).toString("latin1"))) throw wrong("env");
  if (!rows(state.functions, (r) => text(r[0]) && text(r[1]) && attributes(r[2]))) throw wrong("functions");
  if (typeof state.options !== "string" || !isOptions(state.options)) throw wrong("options");
  if (!text(state.aliases)) throw wrong("aliases");
  if (typeof state.umask !== "string" || !/^[0-7]{3,4}$/.test(state.umask)) throw wrong("umask");
  return state;
}

function isList(text: string): boolean {
  try {
    return readList(text, 0) === text.length;
  } catch {
    return false;
  }
}

/** Whether this can be the name of a shell variable. */
export const isName = (name: unknown): name is string =>
  typeof name === "string" && /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);

const OPTION = /^(?:set [-+]o [a-z-]+|shopt -[su] [a-z0-9_]+)$/;
/** Whether these are lines that only set options: they are run as they stand. */
const isOptions = (lines: string): boolean => lines.split("\n").every((line) => line === "" || OPTION.test(line));
