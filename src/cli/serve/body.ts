/** What a request says, looked at. */
import { statSync } from "node:fs";
import { isAbsolute } from "node:path";
import type { Json } from "../../trace/ports.ts";
import { Exit } from "../errors.ts";
import { type Flags, parseVerb, type Verb } from "../verb.ts";

export type Body = { [key: string]: Json };

/** The words of a verb, as a request names them. */
export interface Words {
  /** The directory of who asks. */
  cwd: string;
  args: string[];
  flags: Flags;
  /** What stands behind `--`. */
  command: string[] | null;
}

/** Throws a sentence where a member is there that nothing is known of. */
export function only(body: Body, ...known: string[]): void {
  for (const key of Object.keys(body))
    if (!known.includes(key))
      throw new Exit(2, `The request has ${JSON.stringify(key)}, which means nothing here: ${known.join(", ")} do.`);
}

export function textIn(body: Body, key: string): string | undefined {
  const value = body[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string" || value.includes("\0")) throw new Exit(2, `"${key}" in the request is to be a text.`);
  return value;
}

export function textsIn(body: Body, key: string): string[] | undefined {
  const value = body[key];
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value) || !value.every((each) => typeof each === "string" && !each.includes("\0")))
    throw new Exit(2, `"${key}" in the request is to be a list of texts.`);
  return value as string[];
}

/** A number of at least `least`. */
export function numberIn(body: Body, key: string, least: number): number | undefined {
  const value = body[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number" || !(value >= least) || !Number.isFinite(value))
    throw new Exit(2, `"${key}" in the request is to be a number from ${least} on.`);
  return value;
}

/** The directory that a request is about. */
export function directoryIn(body: Body, otherwise: string): string {
  const path = textIn(body, "cwd") ?? otherwise;
  if (!isAbsolute(path)) throw new Exit(2, `"cwd" in the request is to be a path that begins with /.`);
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw new Exit(2, `There is no directory ${path}.`);
  return path;
}

/** The words of a verb. They are read as those of a command line are. */
export function wordsIn(name: string, verb: Verb, body: Body, otherwise: string): Words {
  only(body, "args", "options", "command", "cwd");
  const options = body.options ?? {};
  if (typeof options !== "object" || Array.isArray(options))
    throw new Exit(2, `"options" in the request is to be an object.`);
  const words: string[] = [];
  for (const [option, value] of Object.entries(options as { [name: string]: Json }))
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each === false || each === null) continue;
      if (!/^[a-z-]+$/.test(option) || (typeof each !== "string" && typeof each !== "number" && each !== true))
        throw new Exit(
          2,
          `Each of "options" is the name of an option, with a text, a number, true, or a list of texts.`,
        );
      words.push(each === true ? `--${option}` : `--${option}=${each}`);
    }
  const command = textsIn(body, "command") ?? null;
  if (command && !verb.command) throw new Exit(2, `${name} takes no "command".`);
  const { flags, args } = parseVerb(name, verb, [...words, "--", ...(textsIn(body, "args") ?? [])]);
  return { cwd: directoryIn(body, otherwise), args, flags, command };
}
