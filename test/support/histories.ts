/**
 * Random histories of runs whose answers are known: edits by runs and by the user, moves, forks, merges, reverts, undos, landings, syncs. Each line of a text
 * is another one, and beside each state stands which steps brought its lines.
 */
import fc from "fast-check";
import { forkScope } from "../../src/scope/fork.ts";
import { baseTree, mergeScope, mergeTaking, syncScope } from "../../src/scope/merge.ts";
import { listOperations } from "../../src/scope/operations.ts";
import { createScope, mainLog, NO_GRANTS } from "../../src/scope/registry.ts";
import { revertScope } from "../../src/scope/revert.ts";
import { attach, type LiveScope, record, treeLink } from "../../src/scope/scope.ts";
import { undoInScope } from "../../src/scope/undo.ts";
import { viewOf } from "../../src/scope/view.ts";
import { target } from "../../src/trace/bytes.ts";
import type { Hash } from "../../src/trace/ports.ts";
import type { Head } from "../../src/trace/seal.ts";
import type { EmbeddedStore } from "../../src/trace/store.ts";
import { openWriter, type Writer } from "../../src/trace/writer.ts";
import { type Entry, readTree, writeTree } from "../../src/world/tree.ts";

const KINDS = [
  ...["edit", "edit", "edit", "edit", "bring back", "move", "think", "yours", "fork"],
  ...["merge", "revert", "undo", "land", "land a part", "sync", "take back"],
] as const;
export interface Op {
  kind: string;
  a: number;
  b: number;
}

export const histories = (most: number): fc.Arbitrary<Op[]> =>
  fc.array(fc.record({ kind: fc.constantFrom(...KINDS), a: fc.nat(9999), b: fc.nat(9999) }), {
    minLength: 5,
    maxLength: most,
  });

/** Commits of the steps that brought a line: several where two sides of a merge brought the same. */
export type Owners = Map<string, Set<string>>;

export interface History {
  scopes: LiveScope[];
  main: { log: string; head(): Head };
  /** What is known of the lines of each commit. */
  known: Map<Hash, Owners>;
  close(): Promise<void>;
}

export type Texts = { [path: string]: string[] };

export async function putTexts(store: EmbeddedStore, texts: Texts): Promise<Hash> {
  const below: { [directory: string]: Entry[] } = { "": [] };
  for (const [path, lines] of Object.entries(texts)) {
    const [directory, name] = path.includes("/") ? (path.split("/") as [string, string]) : ["", path];
    const id = await store.objects.put(Buffer.from(lines.map((line) => `${line}\n`).join("")));
    (below[directory] ??= []).push({ type: "f", mode: 0o644, name: Buffer.from(name), id });
  }
  for (const [name, entries] of Object.entries(below))
    if (name)
      below[""]!.push({
        type: "d",
        mode: 0,
        name: Buffer.from(name),
        id: await writeTree(store.objects, { mode: 0o755, entries }),
      });
  return writeTree(store.objects, { mode: 0o755, entries: below[""]! });
}

export async function textsIn(store: EmbeddedStore, tree: Hash, prefix = ""): Promise<Texts> {
  const texts: Texts = {};
  for (const { type, name, id } of (await readTree(store.objects, tree)).entries)
    if (type === "d") Object.assign(texts, await textsIn(store, id, `${prefix}${name}/`));
    else
      texts[prefix + name] = Buffer.from((await store.objects.get(id))!)
        .toString()
        .split("\n")
        .slice(0, -1);
  return texts;
}

const treeAt = ({ state }: Head): Hash => target(state!.roots.workspace);

/** Performs a history on an empty store. */
export async function buildHistory(store: EmbeddedStore, directory: string, script: readonly Op[]): Promise<History> {
  const workspace = { path: directory, id: "w" };
  const known = new Map<Hash, Owners>();
  const scopes: LiveScope[] = [];
  const log = await mainLog(store, workspace);
  const epoch = (await store.leases.acquire(`log/${log}`))!;
  const writer = await openWriter(store, log, epoch);
  let serial = 0;
  const fresh = (): string => `line ${serial++}`;

  /** Lines that stand in a state, of which some were known before; the others are its own. */
  const learn = async (by: { log: string; writer: Writer }, ...before: Array<Owners | undefined>): Promise<void> => {
    const head = by.writer.fold.head();
    const owners: Owners = new Map();
    for (const line of Object.values(await textsIn(store, treeAt(head))).flat()) {
      const all = before.flatMap((each) => [...(each?.get(line) ?? [])]);
      owners.set(line, new Set(all.length > 0 ? all : [head.id!]));
    }
    known.set(head.id!, owners);
  };
  const main = { log, writer };
  const ofScope = (scope: LiveScope) => ({ log: scope.ref.log, writer: scope.writer });
  const set = async (by: { log: string; writer: Writer }, kind: "tool" | "external", texts: Texts): Promise<void> => {
    const before = by.writer.fold.head();
    const workspace = treeLink(await putTexts(store, texts));
    await record(by, { kind, tier: "reversible" }, { status: "done", workspace });
    await learn(by, before.id ? known.get(before.id) : undefined);
  };
  const edited = (texts: Texts, a: number, b: number): Texts => {
    const paths = Object.keys(texts);
    const path = paths[a % paths.length]!;
    const lines = [...texts[path]!];
    const at = b % (lines.length + 1);
    lines.splice(at, a % 3, ...Array.from({ length: 1 + (b % 3) }, fresh));
    return { ...texts, [path]: lines };
  };

  const lines = (n: number): string[] => Array.from({ length: n }, fresh);
  await set(main, "external", { a: lines(6), b: lines(4), "dir/c": lines(5) });

  const begin = async (): Promise<LiveScope> => {
    const name = `run${serial++}`;
    await createScope(store, { name, workspace, parent: null, origin: null, grants: NO_GRANTS });
    const scope = await attach(store, name);
    scopes.push(scope);
    const { id, state } = writer.fold.head();
    const outcome = { status: "done" as const, base: id!, workspace: state!.roots.workspace };
    await record(scope, { kind: "run", tier: "reversible" }, outcome);
    await learn(ofScope(scope), known.get(id!));
    return scope;
  };
  await begin();

  const perform = async ({ kind, a, b }: Op): Promise<void> => {
    const scope = scopes[a % scopes.length]!;
    const by = ofScope(scope);
    const head = scope.head();
    const before = known.get(head.id!)!;
    const texts = await textsIn(store, treeAt(head));
    const mainHead = writer.fold.head();
    switch (kind) {
      case "edit":
        await set(by, "tool", edited(texts, b, a));
        break;
      case "bring back": {
        // A line that was there once is written anew: from then on it is that step's.
        const now = new Set(Object.values(texts).flat());
        const gone = [...known.values()].flatMap((each) => [...each.keys()]).filter((line) => !now.has(line));
        const line = gone[b % Math.max(1, gone.length)];
        if (line === undefined) break;
        const path = Object.keys(texts)[a % Object.keys(texts).length]!;
        await set(by, "tool", { ...texts, [path]: [...texts[path]!, line] });
        break;
      }
      case "move": {
        const path = Object.keys(texts)[b % Object.keys(texts).length]!;
        const { [path]: moved, ...rest } = texts;
        if (moved!.length < 3) break;
        await set(by, "tool", {
          ...rest,
          [`${b % 2 ? "dir/" : ""}m${serial++}`]: [...moved!, ...(a % 2 ? [fresh()] : [])],
        });
        break;
      }
      case "think":
        await record(scope, { kind: "model", tier: "repeatable" }, { status: "done" });
        known.set(scope.head().id!, before);
        break;
      case "yours":
        await set(main, "external", edited(await textsIn(store, treeAt(mainHead)), a, b));
        break;
      case "fork": {
        if (scopes.length >= 5) break;
        if (b % 4 === 0) {
          await begin();
          break;
        }
        const steps = scope.writer.fold.sealed;
        if (steps.length === 0) break;
        const step = steps[b % steps.length]!;
        const [ref] = await forkScope(store, scope.ref.name, step.n);
        scopes.push(await attach(store, ref!.name));
        break;
      }
      case "merge": {
        const other = scopes[b % scopes.length]!;
        if (other === scope) break;
        const theirs = known.get(other.head().id!)!;
        const done = await mergeScope(scope, viewOf(other), b % 3 === 0 ? "theirs" : undefined);
        if (done.n !== null) await learn(by, before, done.status === "done" ? theirs : undefined);
        break;
      }
      case "revert": {
        const steps = scope.writer.fold.sealed;
        if (steps.length === 0) break;
        const to = steps[b % steps.length]!;
        await revertScope(scope, to.n);
        known.set(scope.head().id!, known.get(to.sealed!.id)!);
        break;
      }
      case "undo": {
        const operation = (await listOperations(store, "w")).findLast(
          (each) => each.log === scope.ref.log && each.state === "done" && (b % 3 === 0 || each.kind !== "undo"),
        );
        const step = operation && scope.writer.fold.steps.get(operation.n!);
        if (!operation || !step) break;
        const was = step.sealed!.parents[0]!;
        const done = await undoInScope(scope, operation);
        if (done.n !== null) await learn(by, before, done.status === "done" ? known.get(was) : undefined);
        break;
      }
      case "land":
      case "land a part": {
        const part = kind === "land a part";
        const { tree: base, bases } = await baseTree(store, mainHead.id!, head.id!);
        if (bases.includes(head.id!)) break;
        const merged = await mergeTaking(store, base, treeAt(mainHead), treeAt(head), part ? "ours" : undefined);
        if (merged.conflicts.length > 0) break;
        await record(
          main,
          { kind: "landing", tier: "reversible", of: head.id! },
          { status: part ? "conflict" : "done", workspace: treeLink(merged.tree), ...(!part && { with: head.id! }) },
        );
        await learn(main, known.get(mainHead.id!), before);
        break;
      }
      case "take back": {
        // As a landing is undone: main's files as they were before it.
        const step = writer.fold.sealed.at(-1)!;
        if (step.intent.kind !== "landing") break;
        const was = writer.fold.sealed.at(-2)!;
        await record(
          main,
          { kind: "undo", tier: "reversible", of: step.sealed!.id },
          { status: "done", workspace: was.sealed!.state.roots.workspace },
        );
        known.set(writer.fold.head().id!, known.get(was.sealed!.id)!);
        break;
      }
      case "sync": {
        const from = { id: mainHead.id!, tree: treeAt(mainHead), name: "main", log };
        const done = await syncScope(scope, from, { take: b % 2 ? "theirs" : undefined });
        if (done.n !== null) await learn(by, before, done.status === "done" ? known.get(mainHead.id!) : undefined);
        break;
      }
    }
  };
  for (const op of script) await perform(op);
  return {
    scopes,
    main: { log, head: () => writer.fold.head() },
    known,
    close: async () => {
      for (const scope of scopes) await scope.close();
      await store.leases.release(`log/${log}`, epoch);
    },
  };
}
