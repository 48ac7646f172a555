/** `shepherd grep`: searches what runs were told, did and said. */

import { maskedLines } from "../../meta/mask.ts";
import { listScopes, type ScopeRef } from "../../scope/registry.ts";
import { readLog } from "../../scope/view.ts";
import { pace } from "../../world/pace.ts";
import { Exit } from "../errors.ts";
import { clip, plain } from "../output.ts";
import { chooseRun, findWorkspace } from "../select.ts";
import { filesOfStep, type Text, textsOfStep } from "../texts.ts";
import { type Context, count, type Flags, type Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "search what runs were told, did and said",
  usage: "PATTERN [RUN…] [--files] [--all]",
  options: {
    files: { type: "boolean", help: "what steps wrote into files instead" },
    "ignore-case": { type: "boolean", short: "i", help: "capital and small letters are the same" },
    fixed: { type: "boolean", short: "F", help: "PATTERN is a text, and no regular expression" },
    list: { type: "boolean", short: "l", help: "only the steps, each once" },
    number: { type: "string", short: "n", value: "N", help: "at most N lines" },
    all: { type: "boolean", short: "a", help: "runs of all directories, also discarded ones" },
  },
  details:
    "Looks at the lines of tasks, messages, calls and what came of them, as `show` shows them: masked, so what looks like a credential is not found (`forget --containing TEXT --dry-run` finds that). " +
    "PATTERN is a regular expression as JavaScript has it. Exit code 1 if nothing was found.",
  examples: ["shepherd grep 'ENOENT|EACCES'", "shepherd grep -F 'npm test' fix-login", "shepherd grep --files TODO"],
  run: async (context, flags, args) => {
    const { out, signal } = context;
    const [pattern, ...names] = args;
    if (pattern === undefined) throw new Exit(2, "What is searched? `shepherd grep PATTERN [RUN…]`");
    const matches = matcher(pattern, flags);
    let left = count(flags, "number", 1) ?? Number.POSITIVE_INFINITY;
    const store = await context.store();
    const { due, rest } = pace({ signal });
    const progress = out.progress();
    let found = false;
    /** Tells the lines that match; whether there were any. */
    const look = (run: ScopeRef, n: number, kind: string, { where, path, lines, own }: Text): boolean => {
      const shown = maskedLines(lines);
      let any = false;
      for (const [at, line] of shown.entries()) {
        if (left <= 0 || (own && !own(at)) || !matches(line)) continue;
        left--;
        any = true;
        progress.done();
        out.object({ scope: run.name, n, kind, where, path, line: at + 1, text: line });
        const head = `${run.name}@${n}`;
        if (flags.list) {
          out.line(head);
          return true;
        }
        const place = path === null ? where : `${path}:${at + 1}`;
        const before = `${head}  ${place}  `;
        const text = plain(line.trimStart());
        out.line(
          `${out.style("yellow", head)}  ${out.style("cyan", place)}  ${out.terminal ? clip(text, Math.max(10, out.width - before.length)) : text}`,
        );
      }
      return any;
    };
    for (const run of await chosen(context, names, flags.all === true)) {
      const view = await readLog(store, run.log, run);
      progress.at(`looking at ${run.name}`);
      for (const step of [...view.fold.steps.values()].sort((a, b) => a.n - b.n)) {
        if (left <= 0) break;
        if (due()) await rest();
        const texts = flags.files ? filesOfStep(store, view, step) : await textsOfStep(store, step);
        for await (const each of texts) {
          const any = look(run, step.n, step.intent.kind, each);
          found ||= any;
          if (any && flags.list) break;
        }
      }
    }
    progress.done();
    return found ? 0 : 1;
  },
};

function matcher(pattern: string, flags: Flags): (line: string) => boolean {
  const source = flags.fixed ? pattern.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&") : pattern;
  try {
    const expression = new RegExp(source, flags["ignore-case"] ? "iu" : "u");
    return (line) => expression.test(line);
  } catch (error) {
    const why = (error as Error).message.split(": ").at(-1);
    throw new Exit(2, `${JSON.stringify(pattern)} is no regular expression (${why}): -F takes it as a text.`);
  }
}

/** Newest first. */
async function chosen(context: Context, names: readonly string[], all: boolean): Promise<ScopeRef[]> {
  const store = await context.store();
  if (names.length > 0) return Promise.all([...new Set(names)].map((name) => chooseRun(context, name)));
  const workspace = all ? undefined : (await findWorkspace(store, context.cwd)).id;
  return (await listScopes(store, workspace))
    .filter(({ discarded }) => all || discarded === null)
    .sort((a, b) => b.created - a.created);
}
