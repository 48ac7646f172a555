/**
 * Patterns that say which tool calls are meant: `read`, `mcp__*`, `Bash(npm test*)`, `Write(src/**)`. They look at what a call says, and
 * not at what it does: what they let pass is a convenience, and no boundary.
 */
import { posix } from "node:path";
import type { Json } from "../trace/ports.ts";

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
  const name = expression(match[1]!, ".*", ".", "i");
  const what = match[2];
  return {
    text: text.trim(),
    fits: (call, workspace, allows) =>
      name.test(call.name) &&
      (what === undefined || /^\*+$/.test(what) || whatFits(what, call.input, workspace, allows)),
  };
}

function whatFits(glob: string, input: Json, workspace: string, allows: boolean): boolean {
  const main = mainOf(input);
  if (main?.kind === "path") return pathFits(glob, main.text, workspace);
  if (main?.kind !== "command") return expression(glob, ".*", ".").test(main?.text ?? JSON.stringify(input));
  const command = main.text.trim();
  if (allows) return expression(glob, WITHIN, ".").test(command);
  const any = expression(glob, ".*", ".");
  return [command, ...command.split(/[;&|`()\n]/)].some((part) => any.test(part.trim()));
}

/** Whatever does not begin another command, or reads or writes a file. */
const WITHIN = "(?:[^;&|<>`\\n$]|\\$(?!\\())*";

function pathFits(glob: string, path: string, workspace: string): boolean {
  const absolute = posix.resolve(workspace, path);
  const seen = posix.isAbsolute(glob) ? absolute : posix.relative(workspace, absolute);
  if (seen === ".." || seen.startsWith("../")) return false;
  return expression(glob.replace(/^\.\//, ""), "[^/]*", "[^/]").test(seen);
}

/** A glob as a regular expression for the whole of a text. ` *` at the end may be nothing at all; `\` takes what follows as it is. */
function expression(glob: string, star: string, one: string, flags = ""): RegExp {
  const tail = / \*$/.test(glob) ? `(?: ${star})?` : "";
  const body = tail ? glob.slice(0, -2) : glob;
  const source = body.replace(/\\(.)|\*\*\/|\*\*|\*|\?|[.+^${}()|[\]\\/]/gs, (found, taken: string | undefined) => {
    if (taken !== undefined) return literal(taken);
    if (found === "**/") return star === "[^/]*" ? "(?:.*/)?" : `${star}/`;
    if (found === "**") return star === "[^/]*" ? ".*" : star;
    if (found === "*") return star;
    return found === "?" ? one : literal(found);
  });
  return new RegExp(`^${source}${tail}$`, `s${flags}`);
}

const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");

const COMMANDS = ["command", "cmd"];
const PATHS = ["path", "file_path", "notebook_path"];
const TEXTS = ["pattern", "url", "query", "prompt"];

/** What a call is about, as far as its input says so by a usual name. */
export function mainOf(input: Json): { key: string; kind: "command" | "path" | "text"; text: string } | null {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return null;
  for (const key of [...COMMANDS, ...PATHS, ...TEXTS]) {
    const text = input[key];
    if (typeof text === "string")
      return { key, kind: COMMANDS.includes(key) ? "command" : PATHS.includes(key) ? "path" : "text", text };
  }
  return null;
}

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
