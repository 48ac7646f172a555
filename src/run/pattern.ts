/**
 * Patterns that say which tool calls are meant: `read`, `mcp__*`, `Bash(npm test*)`, `Write(src/**)`. They look at what a call says, and
 * not at what it does: what they let pass is a convenience, and no boundary.
 */
import { homedir } from "node:os";
import { posix } from "node:path";
import type { Json } from "../trace/ports.ts";
import { any, glob, type Stars, type Takes } from "./glob.ts";

export interface CallText {
  name: string;
  input: Json;
}

export interface Pattern {
  /** As it was given. */
  text: string;
  /** `allows`: a call that does more than the pattern says does not fit; else one does of which any part fits. */
  fits(call: CallText, workspace: string, allows: boolean): boolean;
}

/** Reads a pattern. Throws a sentence where it is none. */
export function parsePattern(text: string): Pattern {
  const match = /^([^\s()]+)(?:\((.+)\))?$/s.exec(text.trim());
  if (!match)
    throw new Error(
      `${JSON.stringify(text)} is no pattern: write TOOL or TOOL(WHAT), as in read or "Bash(npm test*)".`,
    );
  const name = glob(match[1]!.toLowerCase(), TEXT);
  const what = match[2];
  const whatFits = what === undefined || /^\*+$/.test(what) ? () => true : parseWhat(what);
  return {
    text: text.trim(),
    fits: ({ name: tool, input }, workspace, allows) => name(tool.toLowerCase()) && whatFits(input, workspace, allows),
  };
}

function parseWhat(what: string): (input: Json, workspace: string, allows: boolean) => boolean {
  const text = glob(what, TEXT);
  const command = glob(what, COMMAND);
  const path = posix.normalize(what.replace(/^~(?=\/)/, () => escaped(homedir())));
  const inPath = glob(path, PATH);
  const fits = ({ kind, text: seen }: Field, workspace: string, allows: boolean): boolean => {
    if (kind === "text") return text(seen);
    if (kind === "path") {
      if (path.startsWith("../"))
        return glob(posix.join(escaped(workspace), path), PATH)(posix.resolve(workspace, seen));
      const named = pathSeen(seen, workspace, posix.isAbsolute(path));
      return named !== null && inPath(named);
    }
    const whole = seen.trim();
    if (allows) return command(whole);
    return [whole, ...whole.split(/[;&|`()\n]/)].some((part) => text(part.trim()));
  };
  return (input, workspace, allows) => {
    const fields = fieldsOf(input);
    if (fields.length === 0) return text(JSON.stringify(input));
    // What is let pass is what the call is about. What is not may stand beside that.
    return (allows ? fields.slice(0, 1) : fields).some((field) => fits(field, workspace, allows));
  };
}

const TEXT: Stars = { star: any, one: any };

/** Takes whatever does not begin another command, or reads or writes a file. */
const inCommand: Takes = (text, at) => {
  if (text[at] === "$") return text[at + 1] !== "(";
  return text[at] === "(" ? text[at - 1] !== "$" : !";&|<>`\n".includes(text[at]!);
};
const COMMAND: Stars = { star: inCommand, one: inCommand };

const inName: Takes = (text, at) => text[at] !== "/";
const PATH: Stars = { star: inName, one: inName, deep: any };

/** A path as patterns name it; null for one outside the workspace, which only an absolute pattern means. */
function pathSeen(path: string, workspace: string, absolutely: boolean): string | null {
  const absolute = posix.resolve(workspace, path);
  if (absolutely) return absolute;
  const seen = posix.relative(workspace, absolute);
  return seen === ".." || seen.startsWith("../") ? null : seen;
}

const COMMANDS = ["command", "cmd"];
const PATHS = ["path", "file_path", "notebook_path"];
const TEXTS = ["pattern", "url", "query", "prompt"];

interface Field {
  key: string;
  kind: "command" | "path" | "text";
  text: string;
}

/** What an input says by usual names, what it is about first. A command may be a list of words. */
function fieldsOf(input: Json): Field[] {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return [];
  const read = (kind: Field["kind"], keys: string[]): Field[] =>
    keys.flatMap((key) => {
      const value = input[key];
      if (typeof value === "string") return [{ key, kind, text: value }];
      const words = kind === "command" && Array.isArray(value) && value.every((word) => typeof word === "string");
      return words ? [{ key, kind, text: value.join(" ") }] : [];
    });
  return [...read("command", COMMANDS), ...read("path", PATHS), ...read("text", TEXTS)];
}

/** What a call is about, as far as its input says so. */
export const mainOf = (input: Json): Field | null => fieldsOf(input)[0] ?? null;

/** The pattern for calls like one: the same program and what it is to do, files in the same directory, or the same tool. */
export function patternLike({ name, input }: CallText, workspace: string): string {
  const main = mainOf(input);
  if (!main || main.kind === "text") return name;
  if (main.kind === "path") {
    const path = posix.relative(workspace, posix.resolve(workspace, main.text));
    const shown = path.startsWith("../") ? posix.resolve(workspace, main.text) : path;
    const directory = posix.dirname(shown);
    return `${name}(${directory === "." ? escaped(shown) : `${escaped(directory)}/*`})`;
  }
  const command = main.text.trim();
  if (!/^[\w./:=@%+, -]+$/.test(command)) return `${name}(${escaped(command)})`;
  const [program = "", verb = ""] = command.split(/ +/);
  return `${name}(${program}${/^[a-z][\w:-]*$/.test(verb) ? ` ${verb}` : ""} *)`;
}

const escaped = (text: string): string => text.replace(/[\\*?]/g, "\\$&");
