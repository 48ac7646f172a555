/** How two runs differ, as a person reads it: where they part, and what each did from there. */

import { masked } from "../meta/mask.ts";
import { type Compared, compareRuns, type Difference } from "../scope/compare.ts";
import type { ScopeRef } from "../scope/registry.ts";
import { cameThrough, type Found, readLog } from "../scope/view.ts";
import { target } from "../trace/bytes.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { diffTrees } from "../world/diff.ts";
import { quotePath } from "../world/paths.ts";
import { clip, type Output, plain } from "./output.ts";
import { rowOf } from "./rows.ts";
import { counted, named } from "./words.ts";

type Both<T> = readonly [T, T];

/** Tells where two runs part, before their files. */
export async function tellTwoRuns(store: EmbeddedStore, out: Output, runs: Both<ScopeRef>): Promise<void> {
  const ways: Found[][] = [];
  for (const ref of runs) ways.push((await cameThrough(store, await readLog(store, ref.log, ref))).reverse());
  const [a, b] = ways as [Found[], Found[]];
  const { same, differences } = await compareRuns(store, a, b);
  const [one, other] = runs.map(({ name }) => name) as [string, string];
  const rest = [restOf(a, same), restOf(b, same)] as const;
  out.object({
    runs: [one, other],
    same,
    differences: differences.map(({ kind, a, b, was, is }) => ({
      kind,
      steps: [a?.step.n ?? null, b?.step.n ?? null],
      was: was === null ? null : masked(was),
      is: is === null ? null : masked(is),
    })),
    rest,
  });
  if (out.json) return;
  await tell(store, out, [one, other], a, { same, differences }, rest);
  out.line();
}

interface Rest {
  steps: number;
  models: number;
  calls: number;
}

/** What a run did behind what both have done. */
function restOf(way: readonly Found[], same: number): Rest {
  const rest = way.slice(same);
  const ofKind = (...kinds: string[]): number => rest.filter(({ step }) => kinds.includes(step.intent.kind)).length;
  return { steps: rest.length, models: ofKind("model"), calls: ofKind("tool", "command") };
}

async function tell(
  store: EmbeddedStore,
  out: Output,
  names: Both<string>,
  way: readonly Found[],
  compared: Compared,
  rest: Both<Rest>,
): Promise<void> {
  const { same, differences } = compared;
  const [one, other] = names;
  if (differences.length === 0) {
    out.say(`${one} and ${other} did the same, in ${counted(same, "step")}.`);
    return;
  }
  const last = way[same - 1]?.step.n;
  if (last === undefined) out.say(`${one} and ${other} differ from the first step on.`);
  else out.say(`${one} and ${other} are the same up to step ${last}.`);
  const width = Math.max(one.length, other.length);
  for (const each of differences) {
    const files = each.kind === "files" ? ` (${named(await pathsOf(store, each), 3)})` : "";
    out.say(`${placeOf(each, names)}: ${WORDS[each.kind]}${files}`);
    if (files) continue;
    const [was, is] =
      each.kind === "step" || each.kind === "end"
        ? await Promise.all([rowText(store, each.a), rowText(store, each.b)])
        : shortened(each.was, each.is);
    for (const [name, text] of [
      [one, was],
      [other, is],
    ] as const) {
      const line = `  ${name.padEnd(width)}  ${text}`;
      out.line(out.terminal ? clip(line, out.width) : line);
    }
  }
  const words = ({ steps, models, calls }: Rest): string =>
    `${counted(steps, "step")} (${counted(models, "model call")}, ${counted(calls, "call")})`;
  out.say(`Behind what they have in common ${one} did ${words(rest[0])}, ${other} ${words(rest[1])}.`);
}

const WORDS: { [kind in Difference["kind"]]: string } = {
  task: "they were asked for something else",
  request: "the model was asked otherwise",
  answer: "the model said something else",
  call: "another call",
  message: "they were told something else",
  result: "the call gave something else",
  status: "it ended otherwise",
  files: "other files behind it",
  step: "another sort of step",
  end: "only one of them went on",
};

const rowText = async (store: EmbeddedStore, found: Found | null): Promise<string> =>
  found ? `${found.step.intent.kind} · ${(await rowOf(store, "", found.step, false)).summary}` : "(nothing)";

/** Files that are otherwise behind a step; of a directory what is in it. */
async function pathsOf({ objects }: EmbeddedStore, { a, b }: Difference): Promise<string[]> {
  const [was, is] = [a, b].map((found) => target(found!.step.sealed!.state.roots.workspace)) as [string, string];
  const paths: string[] = [];
  for await (const { path, before, after } of diffTrees(objects, was, is))
    if ([before, after].some((entry) => entry && entry.type !== "d")) paths.push(quotePath(path));
  return paths.length > 0 ? paths : ["modes of directories"];
}

function placeOf({ a, b }: Difference, [one, other]: Both<string>): string {
  if (a && b && a.step.n === b.step.n) return `Step ${a.step.n}`;
  return [a && `${one}@${a.step.n}`, b && `${other}@${b.step.n}`].filter(Boolean).join(" and ");
}

/** So much of what is the same is shown before a difference. */
const BEFORE = 20;
const LONGEST = 200;

/** Both from a little before where they begin to differ. */
function shortened(was: string | null, is: string | null): Both<string> {
  const [a, b] = [was, is].map((each) => (each === null ? null : masked(each)));
  let at = 0;
  if (a && b) while (at < a.length && a[at] === b[at]) at++;
  const from = at > BEFORE * 2 ? at - BEFORE : 0;
  const short = (text: string | null | undefined): string =>
    text === null || text === undefined
      ? "(nothing)"
      : clip(plain(`${from > 0 ? "…" : ""}${text.slice(from).toWellFormed()}`), LONGEST) || "(empty)";
  return [short(a), short(b)];
}
