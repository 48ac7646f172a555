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
}

const mutant = (says: string, file: string, find: string, put: string): Mutant => ({ says, file, find, put });

export const mutants: readonly Mutant[] = [
  mutant("a call is sealed before its message is whole", "seal.ts", "if (!messageWhole(t, s)) return false;", ""),
  mutant(
    "a call is sealed before those of its turn",
    "seal.ts",
    "(earlierInTurn(o, s) || hadLockBefore(o, s))",
    "hadLockBefore(o, s)",
  ),
  mutant(
    "a call is sealed before those that had the lock",
    "seal.ts",
    "(earlierInTurn(o, s) || hadLockBefore(o, s))",
    "earlierInTurn(o, s)",
  ),
  mutant("a pending container holds others back", "seal.ts", '  modeOf(o) !== "container";', "  true;"),
  mutant("a commit holds its number", "seal.ts", 'type: "commit",', 'type: "commit", n: s.n,'),
  mutant(
    "a note is part of what follows",
    "seal.ts",
    'if (frame.phase === "note") return t;',
    'if (frame.phase === "note") return { ...t, state: { ...t.state, threads: { ...t.state.threads, note: [] } } };',
  ),
  mutant(
    "a conflict counts as merged",
    "seal.ts",
    'facts.with !== undefined && outcome.status === "done"',
    "facts.with !== undefined",
  ),
  mutant("an old epoch counts", "seal.ts", " && frame.epoch >= t.epoch", ""),
  mutant("any frame counts", "seal.ts", "frame.seq === t.frames.length && frame.prev === t.last && ", ""),
  mutant(
    "a child goes on after all of its parent's numbers",
    "query.ts",
    "t.sealed.slice(0, at.position + 1).map",
    "t.steps.map",
  ),
  mutant(
    "a fork at an intent does not wait",
    "query.ts",
    'if (!s.sealed && t.steps.some(waits)) return "unsealed";',
    "",
  ),
  mutant("grants come back", "query.ts", "notes(t).some((x) => x.note ===", "[].some((x: Note) => x.note ==="),
  mutant("undo takes undos", "query.ts", "o.undoes === undefined && !isUndone(ops, i)", "!isUndone(ops, i)"),
  mutant(
    "the files of a fork are those of now",
    "futures.ts",
    "withFiles(visible(tx.sys, workspace))",
    "withFiles(liveOf(tx, scope).workspace)",
  ),
  mutant("a child may have more grants", "futures.ts", 'need(subset(given, grantsOf(t)), "grant");', ""),
  mutant(
    "a revert passes what is irreversible",
    "futures.ts",
    'need(acknowledge || irreversible(past).length === 0, "irreversible");',
    "",
  ),
  mutant("a discard compensates nothing", "futures.ts", "compensate(tx, scope, past);", ""),
  mutant(
    "a revert keeps the conversation",
    "together.ts",
    "{ ...at.step.commit.state, workspace }",
    "{ ...tr(tx, name).state, workspace }",
  ),
  mutant(
    "a landing overwrites what the user saves",
    "together.ts",
    "if (tx.sys.user[path] !== expected[path]) return true;",
    "",
  ),
  mutant(
    "an undo takes back what changed since",
    "graph.ts",
    "threeWay(after.workspace, t.state.workspace, past.workspace)",
    "threeWay(t.state.workspace, t.state.workspace, past.workspace)",
  ),
  mutant("every parent adopts", "graph.ts", "ancestors(all, facts.with).has(t.head)", "true"),
  mutant("a sync brings threads", "graph.ts", 'facts.kind === "merge" && idle', 'facts.kind !== "landing" && idle'),
  mutant(
    "a merge has no base",
    "graph.ts",
    "const [first, ...rest] = nearest(all, a, b);",
    "const [first, ...rest]: string[] = nearest(all, a, a);",
  ),
  mutant("an overlap is resolved in silence", "value.ts", "if (!picked) conflict[p] =", "if (p === '') conflict[p] ="),
  mutant(
    "compensation in the order of performance",
    "effects.ts",
    "b.time - a.time || b.seq - a.seq",
    "a.time - b.time || a.seq - b.seq",
  ),
  mutant(
    "a merged effect stays with the child",
    "effects.ts",
    "if (!step?.outcome) return at;",
    "if (step !== null) return at;",
  ),
  mutant("keys know no scope", "machine.ts", "digest([name, body.n, body.facts])", "digest([body.n, body.facts])"),
  mutant("a step may have two outcomes", "machine.ts", 'need(!s.outcome, "settled");', ""),
  mutant(
    "the tier is what was declared",
    "machine.ts",
    "const tier = tierOf(stepAt(tr(tx, name), n) as Step);",
    "const { tier } = (stepAt(tr(tx, name), n) as Step).intent.facts;",
  ),
  mutant(
    "nobody looks at main",
    "machine.ts",
    'if (same(t.roots, tx.sys.user)) return "ok";',
    'if (same(t.roots, t.roots)) return "ok";',
  ),
  mutant("destroyed bytes come back", "machine.ts", "!sys.forgotten.includes(c) ||", "true ||"),
  mutant(
    "an action goes out before its intent is synced",
    "turn.ts",
    "  flush(tx, name);\n  const e = effectOf",
    "  const e = effectOf",
  ),
  mutant(
    "the capture misses the call's own writes",
    "turn.ts",
    "held ? { ...facts, workspace } : facts",
    "held ? { ...facts, workspace: tr(tx, name).roots } : facts",
  ),
  mutant("a message leaves calls open", "turn.ts", 'drop(tx, scope, "main");', ""),
  mutant("the gate is open", "turn.ts", 'need(tier !== "irreversible" || isAllowed(t, n), "gate");', ""),
  mutant("a request overtakes results", "turn.ts", 'need(!unanswered(t, thread), "open-calls");', ""),
  mutant(
    "everyone gets the lock",
    "lock.ts",
    "const free = shared(s.n) ? live.holders.every(shared) : live.holders.length === 0;",
    "const free = shared(s.n) || true;",
  ),
  mutant(
    "the lock goes to whoever asks",
    "lock.ts",
    "return waiting.every((o) => {",
    "return true || waiting.every((o) => {",
  ),
  mutant(
    "power loss takes what was synced",
    "failure.ts",
    "s.log.synced + (keep % (s.log.records.length - s.log.synced + 1))",
    "keep % (s.log.records.length + 1)",
  ),
  mutant(
    "recovery turns back to the last commit",
    "failure.ts",
    "visible(tx.sys, view.roots)",
    "visible(tx.sys, view.state.workspace)",
  ),
  mutant(
    "an irreversible call is attempted again",
    "failure.ts",
    '["compensable", "irreversible"].includes(tierOf(s))',
    'tierOf(s) === "compensable"',
  ),
  mutant(
    "a model call with blocks is left hanging",
    "failure.ts",
    'kindOf(s) !== "model" || blocksOf(s).length === 0)',
    'kindOf(s) !== "nobody")',
  ),
  mutant(
    "recovery does not shut the old owner out",
    "failure.ts",
    "if (!append(tx, name, words[0] ?? {",
    "if (words[0] && !append(tx, name, words[0] ?? {",
  ),
  mutant("gc takes what others stand on", "beside.ts", "!reached.has(name)", "true"),
  mutant(
    "a replay asks the model",
    "beside.ts",
    'return { ok: "ok", n, state: at.step.commit.state };',
    'set(tx, { world: [...tx.sys.world, ...tx.sys.world.slice(-1)] });\n  return { ok: "ok", n, state: at.step.commit.state };',
  ),
];

/** Writes the model with one mistake to `dir` and loads it. */
export async function load(m: Mutant, dir: string): Promise<Machine> {
  const from = import.meta.dirname;
  for (const file of fs.readdirSync(from).filter((f) => f.endsWith(".ts") && !f.endsWith(".test.ts"))) {
    const text = fs.readFileSync(path.join(from, file), "utf8");
    if (file === m.file && text.split(m.find).length !== 2)
      throw new Error(`"${m.find}" does not stand once in ${file}`);
    fs.writeFileSync(path.join(dir, file), file === m.file ? text.replace(m.find, () => m.put) : text);
  }
  return (await import(path.join(dir, "step.ts"))) as Machine;
}
