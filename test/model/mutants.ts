/** One-line mistakes in the model. Each must break a law: the laws are what the model is for. */
import fs from "node:fs";
import path from "node:path";
import type { Machine } from "./laws.ts";

export interface Mutant {
  readonly says: string;
  readonly file: string;
  /** Stands exactly once in the file. */
  readonly find: string;
  readonly put: string;
  /** Where to look for a journey that breaks: the first found when this was written. */
  readonly seed: number;
}

const mutant = (says: string, file: string, find: string, put: string, seed = 0): Mutant => ({
  says,
  file,
  find,
  put,
  seed,
});

export const mutants: readonly Mutant[] = [
  mutant("a call is sealed before its message is whole", "seal.ts", "if (!messageWhole(t, s)) return false;", "", 12),
  mutant(
    "a call is sealed before those of its turn",
    "seal.ts",
    "(earlierInTurn(o, s) || hadLockBefore(o, s))",
    "hadLockBefore(o, s)",
    10,
  ),
  mutant(
    "a call is sealed before those that had the lock",
    "seal.ts",
    "(earlierInTurn(o, s) || hadLockBefore(o, s))",
    "earlierInTurn(o, s)",
    19,
  ),
  mutant("a pending container holds others back", "seal.ts", '  modeOf(o) !== "container";', "  true;", 7),
  mutant("a commit holds its number", "seal.ts", 'type: "commit",', 'type: "commit", n: s.n,'),
  mutant(
    "a note is part of what follows",
    "seal.ts",
    'if (frame.phase === "note") return t;',
    'if (frame.phase === "note") return { ...t, state: { ...t.state, threads: { ...t.state.threads, note: [] } } };',
    2,
  ),
  mutant(
    "a conflict counts as merged",
    "seal.ts",
    'facts.with !== undefined && outcome.status === "done"',
    "facts.with !== undefined",
    2,
  ),
  mutant("an old epoch counts", "seal.ts", " && frame.epoch >= t.epoch", "", 1),
  mutant("any frame counts", "seal.ts", "frame.seq === t.frames.length && frame.prev === t.last && ", "", 37),
  mutant(
    "a child goes on after all of its parent's numbers",
    "query.ts",
    "t.sealed.slice(0, at.position + 1).map",
    "t.steps.map",
    25,
  ),
  mutant(
    "a fork at an intent does not wait",
    "query.ts",
    'if (!s.sealed && t.steps.some(waits)) return "unsealed";',
    "",
    56,
  ),
  mutant("grants come back", "query.ts", "notes(t).some((x) => x.note ===", "[].some((x: Note) => x.note ===", 14),
  mutant("undo takes undos", "query.ts", "o.undoes === undefined && !isUndone(ops, i)", "!isUndone(ops, i)", 1),
  mutant(
    "the files of a fork are those of now",
    "futures.ts",
    "withFiles(visible(tx.sys, workspace))",
    "withFiles(liveOf(tx, scope).workspace)",
    14,
  ),
  mutant("a child may have more grants", "futures.ts", 'need(subset(given, grantsOf(t)), "grant");', "", 120),
  mutant(
    "a revert passes what is irreversible",
    "futures.ts",
    'need(acknowledge || irreversible(past).length === 0, "irreversible");',
    "",
    34,
  ),
  mutant("a discard compensates nothing", "futures.ts", "compensate(tx, scope, past);", "", 6),
  mutant(
    "a revert keeps the conversation",
    "together.ts",
    "{ ...at.step.commit.state, workspace }",
    "{ ...tr(tx, name).state, workspace }",
    24,
  ),
  mutant(
    "a landing overwrites what the user saves",
    "together.ts",
    "if (tx.sys.user[path] !== expected[path]) return true;",
    "",
    2,
  ),
  mutant(
    "an undo takes back what changed since",
    "graph.ts",
    "threeWay(after.workspace, t.state.workspace, past.workspace)",
    "threeWay(t.state.workspace, t.state.workspace, past.workspace)",
    47,
  ),
  mutant("every parent adopts", "graph.ts", "same(nearest(all, t.head, facts.with), [t.head])", "true", 2),
  mutant("a sync brings threads", "graph.ts", 'facts.kind === "merge" && idle', 'facts.kind !== "landing" && idle', 31),
  mutant(
    "a merge has no base",
    "graph.ts",
    "const [first, ...rest] = nearest(all, a, b);",
    "const [first, ...rest]: string[] = nearest(all, a, a);",
    37,
  ),
  mutant(
    "an overlap is resolved in silence",
    "value.ts",
    "if (!picked) conflict[p] =",
    "if (p === '') conflict[p] =",
    2,
  ),
  mutant(
    "compensation in the order of performance",
    "effects.ts",
    "b.time - a.time || b.seq - a.seq",
    "a.time - b.time || a.seq - b.seq",
    17,
  ),
  mutant(
    "a merged effect stays with the child",
    "effects.ts",
    "if (!step?.outcome) return at;",
    "if (step !== null) return at;",
    257,
  ),
  mutant("keys know no scope", "machine.ts", "digest([name, body.n, body.facts])", "digest([body.n, body.facts])", 3),
  mutant("a step may have two outcomes", "machine.ts", 'need(!s.outcome, "settled");', "", 167),
  mutant(
    "the tier is what was declared",
    "machine.ts",
    "const tier = tierOf(stepAt(tr(tx, name), n) as Step);",
    "const { tier } = (stepAt(tr(tx, name), n) as Step).intent.facts;",
    20,
  ),
  mutant(
    "nobody looks at main",
    "machine.ts",
    'if (same(t.roots, tx.sys.user)) return "ok";',
    'if (same(t.roots, t.roots)) return "ok";',
    37,
  ),
  mutant("destroyed bytes come back", "machine.ts", "!sys.forgotten.includes(c) ||", "true ||", 2),
  mutant(
    "an action goes out before its intent is synced",
    "turn.ts",
    "  flush(tx, name);\n  const e = effectOf",
    "  const e = effectOf",
    2,
  ),
  mutant(
    "the capture misses the call's own writes",
    "turn.ts",
    "held ? { workspace } : {}",
    "held ? { workspace: tr(tx, name).roots } : {}",
    2,
  ),
  mutant("a message leaves calls open", "turn.ts", 'drop(tx, scope, "main");', "", 17),
  mutant("the gate is open", "turn.ts", 'need(tier !== "irreversible" || isAllowed(t, n), "gate");', "", 8),
  mutant("a request overtakes results", "turn.ts", 'need(!unanswered(t, thread), "open-calls");', "", 58),
  mutant(
    "everyone gets the lock",
    "lock.ts",
    "const free = shared(s.n) ? live.holders.every(shared) : live.holders.length === 0;",
    "const free = shared(s.n) || true;",
    32,
  ),
  mutant(
    "the lock goes to whoever asks",
    "lock.ts",
    "return waiting.every((o) => {",
    "return true || waiting.every((o) => {",
    7,
  ),
  mutant(
    "power loss takes what was synced",
    "failure.ts",
    "s.log.synced + (keep % (s.log.records.length - s.log.synced + 1))",
    "keep % (s.log.records.length + 1)",
    13,
  ),
  mutant(
    "recovery turns back to the last commit",
    "failure.ts",
    "visible(tx.sys, view.roots)",
    "visible(tx.sys, view.state.workspace)",
    20,
  ),
  mutant(
    "an irreversible call is attempted again",
    "failure.ts",
    '(tierOf(s) === "irreversible" && isAllowed(t, s.n))',
    "false",
    10,
  ),
  mutant(
    "a model call with blocks is left hanging",
    "failure.ts",
    'kindOf(s) !== "model" || blocksOf(s).length === 0)',
    'kindOf(s) !== "nobody")',
    25,
  ),
  mutant(
    "recovery does not shut the old owner out",
    "failure.ts",
    "if (!append(tx, name, words[0] ?? {",
    "if (words[0] && !append(tx, name, words[0] ?? {",
    38,
  ),
  mutant("gc takes what others stand on", "beside.ts", "!reached.has(name)", "true", 95),
  mutant(
    "a replay asks the model",
    "beside.ts",
    'return { ok: "ok", n, state: at.step.commit.state };',
    'set(tx, { world: [...tx.sys.world, ...tx.sys.world.slice(-1)] });\n  return { ok: "ok", n, state: at.step.commit.state };',
    18,
  ),
];

/** Writes the files that a mistake reaches to `dir`, the others stay where they are, and loads the model from there. */
export async function load(m: Mutant, dir: string): Promise<Machine> {
  const home = import.meta.dirname;
  const files = fs.readdirSync(home).filter((f) => f.endsWith(".ts") && !f.endsWith(".test.ts"));
  const texts = new Map(files.map((f) => [f, fs.readFileSync(path.join(home, f), "utf8")]));
  const text = texts.get(m.file) ?? "";
  if (text.split(m.find).length !== 2) throw new Error(`"${m.find}" does not stand once in ${m.file}`);
  texts.set(
    m.file,
    text.replace(m.find, () => m.put),
  );
  const reached = reach(texts, m.file);
  for (const file of reached) {
    const local = (quoted: string, name: string) => (reached.has(name) ? quoted : `from "${path.join(home, name)}"`);
    fs.writeFileSync(path.join(dir, file), (texts.get(file) ?? "").replace(/from "\.\/([a-z]+\.ts)"/g, local));
  }
  return (await import(path.join(dir, "step.ts"))) as Machine;
}

/** A file and all that import it, directly or not. */
function reach(texts: ReadonlyMap<string, string>, file: string): Set<string> {
  const reached = new Set([file]);
  for (const name of reached) for (const [f, text] of texts) if (text.includes(`from "./${name}"`)) reached.add(f);
  return reached;
}
