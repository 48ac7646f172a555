/** What a verb is: its words, its options, its help, and what it does. */
import { type ParseArgsConfig, parseArgs } from "node:util";
import type { EmbeddedStore } from "../trace/store.ts";
import { Exit, type ExitCode } from "./errors.ts";
import type { Output } from "./output.ts";

export interface Option {
  type: "boolean" | "string";
  short?: string;
  multiple?: boolean;
  /** Name of the value in the help. */
  value?: string;
  /** Whether a value of no characters says something. */
  empty?: boolean;
  help: string;
}

export type Flags = { [name: string]: string | boolean | string[] | undefined };

export interface Context {
  out: Output;
  /** Where the command was started. */
  cwd: string;
  /** What stood behind `--`, if it was there. */
  rest: string[] | null;
  /** Aborts at the first Ctrl-C. */
  signal: AbortSignal;
  store(): Promise<EmbeddedStore>;
  /** For who lives long: from here on only what runs in the function that it gives holds collections of garbage off. */
  apart(): Promise<<T>(work: () => Promise<T>) => Promise<T>>;
  close(): Promise<void>;
}

export interface Verb {
  /** What it does, in a line. */
  brief: string;
  /** Its arguments, as in a usage line. */
  usage: string;
  options?: { [name: string]: Option };
  /** How many arguments it takes at most; any number without it. */
  most?: number;
  /** Whether what stands behind `--` is a command, and not arguments. */
  command?: boolean;
  /** Whether it goes on when nobody reads its output any more. */
  goesOn?: boolean;
  /** Whether it has to do with coding agents, also those that the user has added. */
  agents?: boolean;
  /** More to know, behind the options in the help. */
  details?: string;
  examples?: string[];
  run(context: Context, flags: Flags, args: string[]): Promise<ExitCode | undefined>;
}

const COMMON: { [name: string]: Option } = {
  json: { type: "boolean", help: "print one JSON object a line (docs/cli.md names the fields)" },
  help: { type: "boolean", short: "h", help: "print this help" },
};

/** Reads the arguments of a verb. Throws `Exit` with a sentence where they are wrong. */
export function parseVerb(name: string, verb: Verb, args: string[]): { flags: Flags; args: string[] } {
  const options: NonNullable<ParseArgsConfig["options"]> = {};
  for (const [flag, { type, short, multiple }] of Object.entries({ ...verb.options, ...COMMON }))
    options[flag] = { type, ...(short && { short }), ...(multiple && { multiple }) };
  let parsed: { flags: Flags; args: string[] };
  try {
    const words = withNegatives(args, options);
    const { values, positionals } = parseArgs({ args: words, options, allowPositionals: true, strict: true });
    parsed = { flags: values as Flags, args: positionals };
  } catch (error) {
    throw new Exit(2, `${oddOption((error as Error).message)}: \`shepherd ${name} --help\` lists what there is.`);
  }
  for (const [flag, { empty }] of Object.entries(verb.options ?? {}))
    if (!empty && [parsed.flags[flag]].flat().includes(""))
      throw new Exit(2, `--${flag} has an empty value: give it one, or leave --${flag} out.`);
  const odd = parsed.args[verb.most ?? Number.POSITIVE_INFINITY];
  if (odd !== undefined)
    throw new Exit(2, `${JSON.stringify(odd)} is too much here: \`${`shepherd ${name} ${verb.usage}`.trimEnd()}\``);
  return parsed;
}

/** The words with each negative number tied to the option before it: alone it would be taken for an option, and not for a wrong number. */
function withNegatives(args: readonly string[], options: NonNullable<ParseArgsConfig["options"]>): string[] {
  const words: string[] = [];
  for (const [at, word] of args.entries()) {
    const before = words.at(-1) ?? "";
    const flag = Object.keys(options).find((each) => `--${each}` === before || `-${options[each]!.short}` === before);
    if (/^-\d+$/.test(word) && flag && options[flag]!.type === "string" && !args.slice(0, at).includes("--"))
      words[words.length - 1] = `--${flag}=${word}`;
    else words.push(word);
  }
  return words;
}

/** What Node says about an option in several sentences, in one. */
function oddOption(message: string): string {
  const option = /'(?:-\w, )?(--?[\w-]+)/.exec(message)?.[1];
  if (!option) return message.split(/\.\s/)[0]!;
  if (message.includes("does not take")) return `${option} takes no value`;
  return /missing|ambiguous/.test(message) ? `${option} needs a value` : `There is no option ${option}`;
}

export function helpOf(name: string, verb: Verb): string {
  const lines = [`shepherd ${name}: ${verb.brief}`, "", `  shepherd ${name} ${verb.usage}`.trimEnd(), "", "Options"];
  const rows = Object.entries({ ...verb.options, ...COMMON }).map(([flag, option]) => {
    const value = option.type === "string" ? ` ${option.value ?? "VALUE"}` : "";
    return [`${option.short ? `-${option.short}, ` : "    "}--${flag}${value}`, option.help] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length));
  for (const [left, right] of rows)
    lines.push(...wrap(right, 76 - width).map((text, i) => `  ${(i ? "" : left).padEnd(width)}  ${text}`));
  if (verb.details) lines.push("", ...wrap(verb.details, 78));
  if (verb.examples) lines.push("", "Examples", ...verb.examples.map((example) => `  ${example}`));
  return lines.join("\n");
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    for (const word of paragraph.split(" ")) {
      if (line && line.length + 1 + word.length > width) {
        lines.push(line);
        line = word;
      } else line = line ? `${line} ${word}` : word;
    }
    lines.push(line);
  }
  return lines;
}

export const text = (flags: Flags, name: string): string | undefined => flags[name] as string | undefined;
export const list = (flags: Flags, name: string): string[] => (flags[name] as string[] | undefined) ?? [];

/** The word that a flag gives, of those that it takes. Throws `Exit` where it is none of them. */
export function choice<Word extends string>(flags: Flags, name: string, words: readonly Word[]): Word | undefined {
  const word = text(flags, name);
  if (word === undefined) return undefined;
  const found = words.find((each) => each === word);
  const takes = `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
  if (!found) throw new Exit(2, `--${name} takes ${takes}, not ${JSON.stringify(word)}.`);
  return found;
}

/** The number that a flag gives. Throws `Exit` where it is none. */
export function count(flags: Flags, name: string, least = 0, most = Number.MAX_SAFE_INTEGER): number | undefined {
  const value = text(flags, name);
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!/^\d+$/.test(value) || number > most || number < least) {
    const range = most === Number.MAX_SAFE_INTEGER ? `${least} on` : `${least} to ${most}`;
    throw new Exit(2, `--${name} takes a whole number from ${range}, not ${JSON.stringify(value)}.`);
  }
  return number;
}
