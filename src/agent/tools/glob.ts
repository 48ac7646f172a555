import { any, glob as globOf } from "../../run/glob.ts";
import { findIn, listed, notFound } from "./find.ts";
import { schema, type Tool } from "./tool.ts";

/** Names of one answer without a limit. */
const NAMES = 500;
/** So many patterns may come of the braces in one. */
const MOST = 200;

export const glob: Tool = {
  name: "glob",
  description:
    "Finds files by name, sorted. In the pattern `*` and `?` stand for anything in one name, `**` for directories, `{a,b}` for one of several. A pattern without a slash is one of names, in all directories. What lies in .git and node_modules is left out, unless `path` leads into them.",
  input: schema(
    {
      pattern: { type: "string", description: "As `src/**/*.{ts,tsx}` or `*.md`." },
      path: { type: "string", description: "The directory that is searched; that of the shell without it." },
      limit: { type: "integer", minimum: 1, description: `How many names at most; ${NAMES} without it.` },
    },
    ["path", "limit"],
  ),
  lock: "shared",
  tier: "reversible",
  run: async (input, context) => {
    const { pattern, path = ".", limit = NAMES } = input as { pattern: string; path?: string; limit?: number };
    const found = await findIn(context, path);
    if (!Array.isArray(found)) return found;
    const fits = fitting(pattern.replace(/^\.\//, ""));
    const names = found.filter((name) => fits(name)).sort();
    if (names.length === 0) return notFound(`No file in ${path} has a name like ${pattern}.`);
    return listed(
      names.map((name) => `${path === "." ? "" : `${path.replace(/\/+$/, "")}/`}${name}`),
      limit,
      "names: give a narrower pattern, or a larger limit.",
    );
  },
};

/** Whether a path fits a pattern; one without a slash is of names. */
export function fitting(pattern: string): (path: string) => boolean {
  const within = (text: string, at: number): boolean => text[at] !== "/";
  const all = braces(pattern).map((each) => globOf(each, { star: within, one: within, deep: any }));
  const fits = (text: string): boolean => all.some((each) => each(text));
  return pattern.includes("/") ? fits : (path) => fits(path.slice(path.lastIndexOf("/") + 1));
}

/** The patterns that one with braces stands for. */
export function braces(pattern: string): string[] {
  let made = [""];
  let rest = pattern;
  for (let found = /\{([^{}]*,[^{}]*)\}/.exec(rest); found; found = /\{([^{}]*,[^{}]*)\}/.exec(rest)) {
    const before = rest.slice(0, found.index);
    made = made.flatMap((start) => found[1]!.split(",").map((each) => `${start}${before}${each}`));
    rest = rest.slice(found.index + found[0].length);
    if (made.length > MOST) return [pattern];
  }
  return made.map((start) => start + rest);
}
