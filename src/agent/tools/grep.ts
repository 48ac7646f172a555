import { LEFT_OUT, listed, notFound } from "./find.ts";
import { fitting } from "./glob.ts";
import { failed, pathOf } from "./paths.ts";
import { schema, type Tool } from "./tool.ts";

const TIMEOUT_MS = 60_000;
const MAX_FOUND = 16 << 20;
/** Lines of one answer without a limit. */
const LINES = 200;

export const grep: Tool = {
  name: "grep",
  description:
    "Finds lines in text files by an extended regular expression (as grep -E). Gives path, number and text of each line, sorted by path. What lies in .git and node_modules is left out, unless `path` leads into them.",
  input: schema(
    {
      pattern: { type: "string", description: "The regular expression." },
      path: { type: "string", description: "A file, or a directory that is searched; that of the shell without it." },
      files: { type: "string", description: "Only files with names like this, as `*.{ts,tsx}` or `src/**/*.py`." },
      ignore_case: { type: "boolean", description: "Whether upper and lower case are the same." },
      limit: { type: "integer", minimum: 1, description: `How many lines at most; ${LINES} without it.` },
    },
    ["path", "files", "ignore_case", "limit"],
  ),
  lock: "shared",
  tier: "reversible",
  run: async (input, context) => {
    const {
      pattern,
      path = ".",
      files,
      limit = LINES,
    } = input as {
      pattern: string;
      path?: string;
      files?: string;
      limit?: number;
    };
    const at = await pathOf(context, path);
    const sandbox = await context.sandbox();
    const leftOut = LEFT_OUT.map((name) => `--exclude-dir=${name}`);
    const done = await sandbox.exec({
      // A dot behind it: the name of the directory itself is none that is left out, and a link leads on.
      argv: [
        "sh",
        "-c",
        'if [ -d "$1" ]; then cd -- "$1" && set -- . "$@"; else set -- "$1" "$@"; fi; at=$1; shift 2; exec grep -rnIEHZ "$@" -- "$at"',
        "sh",
        at,
        ...leftOut,
        ...(input.ignore_case === true ? ["-i"] : []),
        "-e",
        pattern,
      ],
      maxOutput: MAX_FOUND,
      timeoutMs: TIMEOUT_MS,
      signal: context.signal,
    });
    if (done.aborted || context.signal.aborted) return { status: "aborted", text: "The call was aborted." };
    if (done.timedOut)
      return failed(`${path} was not searched within ${TIMEOUT_MS / 1000} s: give a smaller directory.`);
    const { found, other } = linesIn(done.output, path);
    if (found.length === 0 && (done.code ?? 2) > 1)
      return failed(`${path} was not searched: ${other || "grep failed"}`);
    const fits = files === undefined ? () => true : fitting(files.replace(/^\.\//, ""));
    const lines = found
      .filter(({ name }) => fits(name))
      .sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
    if (lines.length === 0) return notFound(`No line in ${path} fits ${pattern}.`);
    const more = `lines${done.truncated ? " at least" : ""}: give a narrower pattern, fewer files, or a larger limit.`;
    return listed(
      lines.map((each) => `${each.path}:${each.text}`),
      limit,
      more,
    );
  },
};

interface Found {
  /** As it is told, and below the directory that was searched. */
  path: string;
  name: string;
  /** Number and text. */
  text: string;
}

/** What grep says: a path, a NUL, and number and text of a line; or a complaint. */
function linesIn(output: Buffer, path: string): { found: Found[]; other: string } {
  const found: Found[] = [];
  let other = "";
  const before = path === "." ? "" : `${path.replace(/\/+$/, "")}/`;
  for (const line of output.toString().split("\n")) {
    const at = line.indexOf("\0");
    if (at < 0) {
      if (line !== "") other = line.split(": ").at(-1)!;
      continue;
    }
    const file = line.slice(0, at);
    const name = file.replace(/^\.\//, "");
    const inside = file.startsWith("./");
    found.push({ path: inside ? before + name : path, name: inside ? name : path, text: line.slice(at + 1) });
  }
  return { found, other };
}
