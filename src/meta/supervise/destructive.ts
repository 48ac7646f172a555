/**
 * What an intent would destroy. Its command is read as a shell would (`shell/`), and each program in it that is known to destroy something says what it means
 * (`destroys/`). It knows what is usual, not what is possible: docs/supervisor.md names what it misses. Nothing is run and nothing is looked up. Does not throw.
 */
import { posix } from "node:path";
import type { Json } from "../../trace/ports.ts";
import { callsIn } from "./destroys/code.ts";
import { DATA } from "./destroys/data.ts";
import { FILES } from "./destroys/files.ts";
import { GIT } from "./destroys/git.ts";
import { EMPTIED, FILE, type Here, type Programs, WHOLE } from "./destroys/program.ts";
import { SERVICES } from "./destroys/services.ts";
import { SEVERITIES, type Severity, type Verdict, worst } from "./destroys/severity.ts";
import { inSql } from "./destroys/sql.ts";
import { type Meant, onPath, onWrite, type PathKind, type Place } from "./destroys/target.ts";
import { WRAPPERS } from "./destroys/wrappers.ts";
import { type Arg, arg } from "./shell/expand.ts";
import { type Command, follow } from "./shell/run.ts";
import type { PendingView, WorkerView } from "./view.ts";

export { type PathKind, type Place, SEVERITIES, type Severity, type Verdict };

/** The later ones beside the earlier ones of one name: `npm` is both a wrapper and a service. */
const KNOWN = new Map<string, Programs[string][]>();
for (const programs of [FILES, GIT, DATA, SERVICES, WRAPPERS])
  for (const [name, program] of Object.entries(programs)) KNOWN.set(name, [...(KNOWN.get(name) ?? []), program]);

/** What is known of where a worker's calls would run. */
export function placeOf(
  { workspace, modified }: Pick<WorkerView, "workspace" | "modified">,
  more: Partial<Place> = {},
): Place {
  const made = new Set(modified.flatMap(({ path, change }) => (change === "added" ? [path] : [])));
  const kind = (path: string): PathKind | undefined => (made.has(path) ? "own" : more.kind?.(path));
  return { cwd: workspace, home: "/root", ...more, workspace, kind };
}

/** What a call would destroy: the worst of it. */
export function destroys({ tool, input, cwd }: Pick<PendingView, "tool" | "input" | "cwd">, place: Place): Verdict {
  const here = { ...place, cwd: posix.resolve(place.workspace, cwd ?? place.cwd) };
  const found: Verdict[] = [];
  try {
    inInput(tool, input, here, found);
  } catch (error) {
    // A script can be made so deep that reading it fails: then nothing is known of it.
    if (!(error instanceof RangeError)) throw error;
    found.push({ severity: "limited", reason: "What it does cannot be told." });
  }
  return worst(found);
}

const COMMANDS = ["command", "cmd", "script", "shell_command", "commandline"];
const PROGRAMS = ["code", "source"];
const STATEMENTS = ["sql", "query", "statement"];
const PATHS = ["path", "file_path", "notebook_path", "filename", "file"];
const CONTENTS = ["content", "contents", "text", "file_text"];

function inInput(tool: string, input: Json, place: Place, found: Verdict[]): void {
  if (typeof input === "string") inScript(input, place, found);
  if (typeof input !== "object" || input === null || Array.isArray(input)) return;
  const given = (names: readonly string[]): string[] =>
    names.flatMap((name) => {
      const value = input[name];
      if (typeof value === "string") return [value];
      // A list of words is a command that no shell reads.
      return Array.isArray(value) && value.every((word) => typeof word === "string")
        ? [(value as string[]).map(quoted).join(" ")]
        : [];
    });
  for (const text of given(COMMANDS)) inScript(text, place, found);
  for (const text of given(PROGRAMS)) for (const language of ["python", "node"]) inCode(language, text, place, found);
  for (const text of given(STATEMENTS)) {
    const verdict = inSql(text);
    if (verdict) found.push(verdict);
  }
  const does = tool
    .toLowerCase()
    .split(/__|[.:/]/)
    .at(-1)!;
  const [path] = given(PATHS);
  if (path === undefined) {
    if (/(?:^|[_-])(?:drop|destroy|wipe|purge|terminate)(?:[_-]|$)/.test(does))
      found.push({ severity: "limited", reason: "By its name the tool destroys something." });
    return;
  }
  if (/(?:^|[_-])(?:delete|remove|rm|unlink|destroy|wipe)(?:[_-]|$)/.test(does))
    found.push(
      onPath(arg(path), place, /dir|folder|tree|recursive/.test(does) || input.recursive === true ? WHOLE : FILE),
    );
  const [content] = given(CONTENTS);
  if (content === undefined) return;
  found.push(onWrite(arg(path), place));
  if (content.trim() === "" && !EMPTY_BY_RIGHT.test(path)) found.push(emptied(path, place));
}

/** A new file may be empty; one that is there and is not known to be the worker's own loses what is in it. */
function emptied(path: string, place: Place): Verdict {
  const verdict = onPath(arg(path), place, EMPTIED);
  const isThere = place.kind?.(posix.relative(place.workspace, posix.resolve(place.cwd, path))) !== undefined;
  return verdict.severity === "work" && !isThere ? { ...verdict, severity: "limited" } : verdict;
}

const EMPTY_BY_RIGHT = /(?:^|\/)(?:__init__\.py|\.(?:git)?keep|py\.typed|\.nojekyll|\.npmignore)$/;

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

function inScript(text: string, place: Place, found: Verdict[]): void {
  follow(
    text,
    { ...place, env: { ...place.env } },
    {
      command: (command) => {
        const name = command.name.replace(/^mkfs\..*/, "mkfs");
        let printed = null;
        for (const program of KNOWN.get(name) ??
          KNOWN.get(name.replace(/(?<=^(?:python|pip|ruby|perl|php|node))[\d.]+$/, "")) ??
          [])
          printed = program(hereOf(command, place, found)) ?? printed;
        return printed;
      },
      write: (to, cwd, empty) => {
        const here = placed(place, cwd);
        const meant = absolute(to, cwd);
        found.push(empty ? onPath(meant, here, EMPTIED) : onWrite(meant, here));
      },
      lost: (reason) => found.push({ severity: "limited", reason }),
    },
  );
}

const placed = (place: Place, cwd: Arg): Place => (cwd.unknown ? place : { ...place, cwd: cwd.text });

/** In a directory that is not known, nothing is but what is absolute. */
const absolute = (to: Arg, cwd: Arg): Arg => (cwd.unknown && !to.text.startsWith("/") ? { ...to, unknown: true } : to);

function hereOf(command: Command, whole: Place, found: Verdict[]): Here {
  const place = placed(whole, command.cwd);
  const find = (...verdicts: readonly (Verdict | null)[]): null => {
    for (const each of verdicts) if (each) found.push(each);
    return null;
  };
  return {
    ...command,
    place,
    note: (severity, reason) => find({ severity, reason }),
    path: (to, meant: Meant) => {
      const path = absolute(to, command.cwd);
      if (path.unknown && to.glob && command.cwd.unknown && meant.recursive)
        return find({ severity: "work", reason: "It deletes all of a directory that cannot be told." });
      return find(onPath(path, place, meant));
    },
    write: (to) => find(onWrite(absolute(to, command.cwd), place)),
    sql: (text, scratch = false) => {
      if (text === null) return find({ severity: "limited", reason: "What the database is told cannot be told." });
      return find(scratch ? null : inSql(text));
    },
    code: (language, text) => {
      if (text === null) return find({ severity: "limited", reason: "What the program does cannot be told." });
      inCode(language, text, place, found, command);
      return null;
    },
  };
}

function inCode(language: string, text: string, place: Place, found: Verdict[], command?: Command): void {
  for (const { kind, texts, recursive } of callsIn(language, text)) {
    if (kind === "unsure")
      found.push({ severity: recursive ? "work" : "limited", reason: "It deletes what cannot be told." });
    if (kind === "code") for (const each of texts) inCode(language, each, place, found, command);
    if (kind === "path" || kind === "empty")
      for (const each of texts)
        found.push(
          onPath(
            { text: each, unknown: false, glob: /[*?]/.test(each) },
            place,
            kind === "empty" ? EMPTIED : recursive ? WHOLE : FILE,
          ),
        );
    if (kind === "sql")
      for (const each of texts) {
        const verdict = inSql(each);
        if (verdict) found.push(verdict);
      }
    if (kind === "shell")
      for (const each of texts)
        if (command) command.script(each);
        else inScript(each, place, found);
    if (kind === "words") {
      if (command) command.call(texts.map(arg));
      else inScript(texts.map(quoted).join(" "), place, found);
    }
  }
}
