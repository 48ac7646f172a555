/** `shepherd blame`: who wrote the lines of a file, and what asked for them. */
import { join } from "node:path/posix";
import { maskedLines } from "../../meta/mask.ts";
import { type Asked, askers } from "../../scope/asker.ts";
import { type Blamed, blameFile } from "../../scope/blame.ts";
import type { SealedStep } from "../../scope/commits.ts";
import { type ScopeRef, workspacePath } from "../../scope/registry.ts";
import { type Found, readLog, type View } from "../../scope/view.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { quotePath, unquotePath } from "../../world/paths.ts";
import { type Addresses, addressesIn } from "../address.ts";
import { Exit } from "../errors.ts";
import { clip, type Output, plain } from "../output.ts";
import { type Row, rowOf } from "../rows.ts";
import { below, chooseRun, chooseStep, findWorkspace } from "../select.ts";
import type { Context, Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "which step wrote a line, and what asked for it",
  usage: "FILE[:LINES] [RUN | STEP]",
  most: 2,
  details:
    "LINES is 12, 12-20 or 12-. The file is that of the run's newest step, or of STEP; with `main` that of your directory, as it was last looked at. FILE is looked for below the " +
    "directory that you are in, then from the root of the project. A line that no step of a run wrote is yours.",
  examples: ["shepherd blame src/login.js", "shepherd blame src/login.js:40-60 fix-login"],
  run: async (context, _flags, args) => {
    const { out, signal } = context;
    const [file, word] = args;
    if (file === undefined) throw new Exit(2, "Which file? `shepherd blame FILE[:LINES] [RUN | STEP]`");
    const store = await context.store();
    const { view, at, path: directory, name } = await chosen(context, word);
    for (const { path, lines } of readings(file, below(directory, context.cwd))) {
      const blame = await blameFile(store, view, at, path, { lines, signal });
      if (!blame) continue;
      if (lines && blame.whole) throw new Exit(2, `${quotePath(path)} has no lines: leave \`:LINES\` out.`);
      if (lines && blame.ranges.length === 0)
        throw new Exit(2, `${quotePath(path)} has no line ${lines.from + 1} at step ${at.step.n} of ${name}.`);
      const text = blame.whole ? ["(binary, or a link)"] : maskedLines(linesOf(blame.bytes));
      if (blame.bytes.length === 0) out.say(`${quotePath(path)} is empty.`);
      await tell(store, out, blame.ranges, text);
      return undefined;
    }
    throw new Exit(
      2,
      `There is no file ${quotePath(Buffer.from(file))} at step ${at.step.n} of ${name}: \`shepherd cat ${name === "main" ? "RUN " : `${name}@`}${name === "main" ? "STEP" : at.step.n} .\` lists what there is.`,
    );
  },
};

/** Where the file is looked for: the newest step of a run, a step, or main. */
async function chosen(
  context: Context,
  word: string | undefined,
): Promise<{ view: View; at: SealedStep; path: string; name: string }> {
  const store = await context.store();
  if (word === "main") {
    const workspace = await findWorkspace(store, context.cwd);
    const main = await store.refs.get(`main/${workspace.id}`);
    const view = main && (await readLog(store, (JSON.parse(main.value) as { log: string }).log));
    const step = view?.fold.sealed.at(-1);
    if (!view || !step) throw new Exit(2, `${workspace.path} is not known yet: \`shepherd init\` reads its files.`);
    return { view, at: { log: view.log, step, sealed: step.sealed! }, path: workspace.path, name: "main" };
  }
  const run: ScopeRef | null = word === undefined ? await chooseRun(context, undefined) : null;
  const { revision } = await chooseStep(context, [run ? `${run.name}@` : word!], "shepherd blame FILE [RUN | STEP]");
  const { view, log, step, sealed } = revision;
  return { view, at: { log, step, sealed }, path: await workspacePath(store, view.log), name: view.ref!.name };
}

/** What `FILE[:LINES]` can mean, the likeliest first: a name may end like lines. */
function* readings(word: string, here: string): Generator<{ path: Buffer; lines?: { from: number; to: number } }> {
  const [, file, first, dash, last] = /^(.+):(\d+)(-(\d*))?$/s.exec(word) ?? [];
  const paths = (text: string): Buffer[] => {
    const all = [...new Set([join(here, text), join(text)])].filter((path) => !path.startsWith(".."));
    return [...all.map((path) => Buffer.from(path)), ...(text.startsWith('"') ? [unquotePath(text)] : [])];
  };
  for (const path of paths(word)) yield { path };
  if (file === undefined) return;
  const from = Number(first) - 1;
  const to = dash === undefined ? from + 1 : last ? Number(last) : Number.POSITIVE_INFINITY;
  if (from < 0 || to <= from)
    throw new Exit(2, `${word} names no lines: they are counted from 1, as in ${file}:12 or ${file}:12-20.`);
  for (const path of paths(file)) yield { path, lines: { from, to } };
}

/** Lines without their ends. */
function linesOf(bytes: Buffer): string[] {
  const lines = bytes.toString().split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines.map((line) => line.replace(/\r$/, ""));
}

/** A step that wrote lines, and who asked for it; null where it is the user's own edit. */
interface Told {
  address: string | null;
  row: Row;
  asked: Array<{ what: "asked by" | "for"; address: string | null; n: number; scope: string | null; row: Row }>;
}

async function tell(
  store: EmbeddedStore,
  out: Output,
  ranges: readonly Blamed[],
  text: readonly string[],
): Promise<void> {
  const addresses = await addressesIn(store);
  const askedFor = askers(store);
  const told = new Map<string, Told | null>();
  for (const { step } of ranges)
    if (!told.has(step.sealed.id)) told.set(step.sealed.id, await about(store, addresses, askedFor, step));
  const short = (each: Blamed): string => {
    const known = told.get(each.step.sealed.id);
    return known ? (known.address ?? each.step.sealed.id.slice(0, 7)) : "yours";
  };
  const width = Math.max(0, ...ranges.map((each) => short(each).length));
  const digits = String(ranges.at(-1)?.to ?? 0).length;
  for (const each of ranges) {
    const known = told.get(each.step.sealed.id);
    out.object({
      from: each.from + 1,
      to: each.to,
      lines: text.slice(each.from, each.to),
      path: quotePath(each.path),
      id: each.step.sealed.id,
      yours: known === null,
      step: known ? stepObject(known) : null,
      asked: partOf(known, "asked by"),
      for: partOf(known, "for"),
    });
    for (let line = each.from; line < each.to; line++) {
      const head = `${short(each).padEnd(width)} ${String(line + 1).padStart(digits)} `;
      const shown = plain(text[line]!);
      out.line(
        `${out.style(known ? "yellow" : "dim", head)} ${out.terminal ? clip(shown, Math.max(10, out.width - head.length - 1)) : shown}`,
      );
    }
  }
  if (out.json || ranges.length === 0) return;
  out.line();
  const listed = new Set<string>();
  for (const each of ranges) {
    const head = short(each).padEnd(width);
    if (listed.has(head)) continue;
    listed.add(head);
    const known = told.get(each.step.sealed.id);
    const row = (before: string, text: string): void =>
      out.line(out.terminal ? clip(`${before}  ${text}`, out.width) : `${before}  ${text}`);
    if (!known) {
      row(head, "no step of a run: it is your own");
      continue;
    }
    row(head, `${known.row.kind} · ${known.row.summary}`);
    for (const { what, address, n, row: by } of known.asked)
      row(" ".repeat(width), `${what} ${address ?? `step ${n}`} · ${by.summary}`);
  }
}

const stepObject = ({ row }: Pick<Told, "row">): object => ({
  scope: row.scope || null,
  n: row.n,
  kind: row.kind,
  summary: row.summary,
});

function partOf(told: Told | null | undefined, what: "asked by" | "for"): object | null {
  const part = told?.asked.find((each) => each.what === what);
  return part ? stepObject(part) : null;
}

async function about(
  store: EmbeddedStore,
  addresses: Addresses,
  askedFor: (of: Found) => Promise<Asked>,
  found: SealedStep,
): Promise<Told | null> {
  const isMain = (await store.logs.header(found.log))?.meta.kind === "main";
  // A landing that conflicted can leave what neither side had.
  if (isMain && found.step.intent.kind === "external") return null;
  const rowFor = ({ log, step }: Found): Promise<Row> =>
    rowOf(store, addresses.scope(log) ?? (isMain ? "main" : ""), step, false);
  const { model, user } = isMain ? { model: null, user: null } : await askedFor(found);
  const asked: Told["asked"] = [];
  for (const [what, by] of [
    ["asked by", model],
    ["for", user],
  ] as const)
    if (by && by.step !== found.step)
      asked.push({
        what,
        address: addresses.of(by),
        n: by.step.n,
        scope: addresses.scope(by.log),
        row: await rowFor(by),
      });
  return { address: isMain ? `main@${found.step.n}` : addresses.of(found), row: await rowFor(found), asked };
}
