/**
 * Follows a script as a shell would, without running anything: variables, directories, functions, substitutions, pipes. Each command that it would perform is handed to
 * whoever knows what it does. All branches are taken; a loop's body once for all that its variable may be.
 */
import { posix } from "node:path";
import { type Arg, arg, expandAll, expandOne, type Scope } from "./expand.ts";
import { MOST_SCRIPT, parseScript } from "./parse.ts";
import type { Node, Redirect, Script, Word } from "./syntax.ts";

/** What comes out of a command and goes into the next. */
export interface Stream {
  /** Null where it is not known. */
  text: string | null;
  /** Paths that it names, as far as these are known (of `find`, `ls`). */
  paths?: readonly Arg[];
  /** The program it comes from. */
  from?: string;
}

/** A command that would be performed. */
export interface Command {
  name: string;
  args: readonly Arg[];
  /** What it reads; null without a pipe or a file. */
  stdin: Stream | null;
  cwd: Arg;
  /** Follows another command with these words, in the same place. */
  call(words: readonly Arg[], stdin?: Stream | null): Stream;
  /** Follows a script as a shell of its own. */
  script(text: string, args?: readonly Arg[]): Stream;
  /** Follows a script in this very shell. */
  here(text: string): Stream;
}

export interface Watcher {
  /** What the command prints, where that is known. */
  command(command: Command): Stream | null;
  /** A file gets other contents; `empty`: none. */
  write(to: Arg, cwd: Arg, empty: boolean): void;
  /** Not everything was followed. */
  lost(why: string): void;
}

export interface Start {
  cwd: string;
  home: string;
  workspace: string;
  env: { readonly [name: string]: string };
}

/** So many commands are followed, and so deep into functions and scripts. */
const MOST_COMMANDS = 1000;
const MOST_DEPTH = 24;
/** UTF-16 units of all scripts in it together. */
const MOST_READ = 4 * MOST_SCRIPT;

interface Shell {
  variables: Map<string, readonly Arg[]>;
  functions: Map<string, Node>;
  args: readonly Arg[];
  cwd: Arg;
  depth: number;
}

const NOWHERE: Stream = { text: null };

export function follow(text: string, start: Start, watcher: Watcher): void {
  let left = MOST_COMMANDS;
  let letters = MOST_READ;
  const shell: Shell = {
    variables: new Map(
      Object.entries({ HOME: start.home, PWD: start.cwd, ...start.env }).map(([name, value]) => [name, [arg(value)]]),
    ),
    functions: new Map(),
    args: [],
    cwd: arg(start.cwd),
    depth: 0,
  };

  const copied = (of: Shell): Shell => ({
    ...of,
    variables: new Map(of.variables),
    functions: new Map(of.functions),
    depth: of.depth + 1,
  });

  function read(text: string, within: Shell, stdin: Stream | null): Stream {
    letters -= text.length;
    if (within.depth > MOST_DEPTH || letters < 0) {
      watcher.lost("It is too long, or goes too deep.");
      return NOWHERE;
    }
    const { script, whole } = parseScript(text);
    if (!whole) watcher.lost("It is too long, or goes too deep.");
    return list(script, within, stdin);
  }

  function list(script: Script, shell: Shell, stdin: Stream | null): Stream {
    const printed: Stream[] = [];
    for (const node of script) printed.push(perform(node, shell, stdin));
    if (printed.length === 1) return printed[0]!;
    const paths = printed.flatMap((each) => each.paths ?? []);
    const texts = printed.map(({ text }) => text);
    return { text: texts.every((each) => each !== null) ? texts.join("") : null, ...(paths.length > 0 && { paths }) };
  }

  function perform(node: Node, shell: Shell, stdin: Stream | null): Stream {
    if (left-- <= 0) {
      if (left === -1) watcher.lost("It has too many commands.");
      return NOWHERE;
    }
    switch (node.kind) {
      case "pipeline": {
        let stream = stdin;
        // Each part is a shell of its own.
        for (const part of node.parts) stream = perform(part, copied(shell), stream);
        return stream ?? NOWHERE;
      }
      case "group": {
        const within = node.subshell ? copied(shell) : shell;
        const from = redirected(node.redirects, shell, true);
        return list(node.body, within, from ?? stdin);
      }
      case "for": {
        const scope = scopeOf(shell);
        shell.variables.set(node.name, node.words ? expandAll(node.words, scope) : shell.args);
        redirected(node.redirects, shell, true);
        return list(node.body, shell, stdin);
      }
      case "function":
        shell.functions.set(node.name, node.body);
        return { text: "" };
      case "simple":
        return simple(node, shell, stdin);
    }
  }

  function simple(
    { assignments, words, redirects }: Extract<Node, { kind: "simple" }>,
    shell: Shell,
    stdin: Stream | null,
  ): Stream {
    const scope = scopeOf(shell);
    const set = (name: string, values: readonly Word[]): void => {
      shell.variables.set(name, values.length === 1 ? [expandOne(values[0]!, scope)] : expandAll(values, scope));
    };
    for (const { name, values } of assignments) set(name, values);
    const args = expandAll(words, scope);
    const name = args[0] ? programOf(args[0]) : null;
    const empties = name === null || [":", "true", "false"].includes(name) || printsNothing(name, args.slice(1));
    const from = redirected(redirects, shell, !empties);
    const input = from ?? stdin;
    if (name === null) {
      if (args[0]) watcher.lost("It runs a command whose name is not known.");
      return { text: "" };
    }
    return call(name, args.slice(1), shell, input);
  }

  function call(name: string, args: readonly Arg[], shell: Shell, stdin: Stream | null): Stream {
    const called = shell.functions.get(name);
    if (called) {
      if (shell.depth > MOST_DEPTH) {
        watcher.lost("A function calls itself.");
        return NOWHERE;
      }
      const before = { args: shell.args, depth: shell.depth };
      Object.assign(shell, { args, depth: shell.depth + 1 });
      const printed = perform(called, shell, stdin);
      Object.assign(shell, before);
      return printed;
    }
    const built = builtin(name, args, shell, stdin);
    if (built) return built;
    return (
      watcher.command({
        name,
        args,
        stdin,
        cwd: shell.cwd,
        call: (words, given = stdin) => {
          const inner = words[0] ? programOf(words[0]) : null;
          if (left-- <= 0 || shell.depth > MOST_DEPTH) return NOWHERE;
          return inner === null ? NOWHERE : call(inner, words.slice(1), { ...copied(shell), cwd: shell.cwd }, given);
        },
        script: (text, given = []) => read(text, { ...copied(shell), args: given }, stdin),
        here: (text) => {
          shell.depth++;
          const printed = read(text, shell, stdin);
          shell.depth--;
          return printed;
        },
      }) ?? NOWHERE
    );
  }

  /** What only the shell itself does. */
  function builtin(name: string, args: readonly Arg[], shell: Shell, stdin: Stream | null): Stream | null {
    const words = args.filter(({ text }) => !/^-[A-Za-z]+$/.test(text));
    switch (name) {
      case "cd":
      case "pushd": {
        const [to = arg(start.home)] = words;
        shell.cwd = to.unknown ? { ...to, text: "" } : arg(posix.resolve(shell.cwd.text, to.text));
        shell.variables.set("PWD", [shell.cwd]);
        return { text: "" };
      }
      case "export":
      case "readonly":
      case "local":
      case "declare":
      case "typeset": {
        for (const { text, unknown } of words) {
          const [, key, value] = /^(\w+)=(.*)$/s.exec(text) ?? [];
          if (key !== undefined) shell.variables.set(key, [{ text: value!, unknown, glob: false }]);
        }
        return { text: "" };
      }
      case "unset":
        for (const { text } of words) shell.variables.delete(text);
        return { text: "" };
      case "set": {
        const at = args.findIndex(({ text }) => text === "--");
        if (at >= 0) shell.args = args.slice(at + 1);
        return { text: "" };
      }
      case "read":
      case "mapfile":
      case "readarray": {
        const lines = stdin?.text
          ?.split("\n")
          .filter((line) => line !== "")
          .map(arg);
        const held = lines ?? stdin?.paths;
        const key = words.at(-1)?.text ?? "REPLY";
        if (held && held.length > 0) shell.variables.set(key, held);
        else shell.variables.delete(key);
        return { text: "" };
      }
      case "eval":
        return args.some(({ unknown }) => unknown) ? null : here(shell, args, stdin);
      case "alias": {
        for (const { text } of words) {
          const [, key, value] = /^([\w.-]+)=(.*)$/s.exec(text) ?? [];
          const { script } = parseScript(`${value ?? ""} "$@"`);
          if (key !== undefined)
            shell.functions.set(key, { kind: "group", body: script, subshell: false, redirects: [] });
        }
        return { text: "" };
      }
      case "trap":
        return words[0] ? here(shell, [words[0]], stdin) : { text: "" };
      case "pwd":
        return shell.cwd.unknown ? NOWHERE : { text: `${shell.cwd.text}\n` };
      default:
        return null;
    }
  }

  function here(shell: Shell, args: readonly Arg[], stdin: Stream | null): Stream {
    shell.depth++;
    const printed = read(args.map(({ text }) => text).join(" "), shell, stdin);
    shell.depth--;
    return printed;
  }

  /** Follows where the output goes. Gives what is read instead of the pipe; null without. */
  function redirected(redirects: readonly Redirect[], shell: Shell, prints: boolean): Stream | null {
    let input: Stream | null = null;
    for (const { op, to } of redirects) {
      const target = expandOne(to, scopeOf(shell));
      if (op === "<<" || op === "<<<")
        input = { text: target.unknown ? null : op === "<<<" ? `${target.text}\n` : target.text };
      else if (op === "<") input = { text: target.text === "/dev/null" ? "" : null, from: "file" };
      else if (op === ">" || op === ">|" || op === "&>") watcher.write(target, shell.cwd, !prints && op !== "&>");
    }
    return input;
  }

  function scopeOf(shell: Shell): Scope {
    return {
      home: start.home,
      variable: (name) => {
        if (/^\d$/.test(name)) {
          const at = Number(name);
          return at === 0 ? [arg("bash")] : shell.args[at - 1] ? [shell.args[at - 1]!] : undefined;
        }
        if (name === "@" || name === "*") return shell.args.length > 0 ? shell.args : [arg("")];
        if (name === "$" || name === "#" || name === "?" || name === "RANDOM")
          return [{ text: "?", unknown: true, glob: false }];
        return shell.variables.get(name);
      },
      output: (script) => {
        const printed = list(script, copied(shell), null);
        if (printed.text !== null) return [arg(printed.text.replace(/\n+$/, ""))];
        return printed.paths && printed.paths.length > 0 ? printed.paths : null;
      },
    };
  }

  read(text, shell, null);
}

/** The program that a word names; null where that is not known. */
function programOf({ text, unknown }: Arg): string | null {
  const name = posix.basename(text);
  return unknown || name === "" ? null : name;
}

function printsNothing(name: string, args: readonly Arg[]): boolean {
  if (name === "cat") return args.length > 0 && args.every(({ text }) => text === "/dev/null");
  if (name === "echo") return args.length > 0 && args.every(({ text }) => text === "-n" || text === "");
  return name === "printf" && args.length <= 1 && (args[0]?.text ?? "") === "";
}
