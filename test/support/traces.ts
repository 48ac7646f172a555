/** Random stores: logs with steps, parallel calls, forks, merges, reverts; packs; what fenced and killed writers leave. */
import { appendFileSync } from "node:fs";
import fc from "fast-check";
import { encodeJson, link, linksIn, target } from "../../src/trace/bytes.ts";
import type { Frame } from "../../src/trace/frame.ts";
import { encodeFrame, frameHash } from "../../src/trace/logs.ts";
import type { Hash, Link, LogHeader, State } from "../../src/trace/ports.ts";
import { type Followers, packShelf, startReach, traceFollowers } from "../../src/trace/reach.ts";
import { encodeRecord } from "../../src/trace/record.ts";
import { makePack } from "../../src/trace/salvage.ts";
import { type EmbeddedStore, newLogId } from "../../src/trace/store.ts";
import { openWriter, type Writer } from "../../src/trace/writer.ts";
import { treeLinks } from "../../src/world/links.ts";
import { writeMtimes } from "../../src/world/mtimes.ts";
import { type Entry, writeTree } from "../../src/world/tree.ts";

export const followers: Followers = { ...traceFollowers, ...treeLinks };

const KINDS = [
  "step",
  "step",
  "turn",
  "fork",
  "merge",
  "revert",
  "discard",
  "stray",
  "torn",
  "pack",
  "garbage",
] as const;
export type Op = { kind: (typeof KINDS)[number]; a: number; b: number };

export const ops = (most: number): fc.Arbitrary<Op[]> =>
  fc.array(fc.record({ kind: fc.constantFrom(...KINDS), a: fc.nat(1000), b: fc.nat(1000) }), {
    minLength: 3,
    maxLength: most,
  });

export interface Scope {
  name: string;
  log: string;
  writer: Writer;
  epoch: number;
  /** Whether its ref still stands. */
  live: boolean;
}

export interface Traces {
  scopes: Scope[];
  /** Trees that were put and are named by no frame. */
  garbage: Link[];
  close(): Promise<void>;
}

let serial = 0;

/** A tree of a few files, of which most are the same for neighbouring numbers. */
export async function sampleTree(store: EmbeddedStore, a: number, b: number): Promise<Link> {
  const blob = async (text: string) => store.objects.put(Buffer.from(text));
  const file = async (name: string, text: string): Promise<Entry> => ({
    type: "f",
    mode: 0o644,
    name: Buffer.from(name),
    id: await blob(text),
  });
  const below = await writeTree(store.objects, {
    mode: 0o755,
    entries: [
      await file("deep", `deep ${a % 7}\n`.repeat(a % 200)),
      { type: "l", mode: 0, name: Buffer.from("link"), id: await blob(`../${b % 3}`) },
    ],
  });
  const id = await writeTree(store.objects, {
    mode: 0o755,
    entries: [
      { type: "d", mode: 0, name: Buffer.from("dir"), id: below },
      await file("same", "always the same\n"),
      await file(`x${b % 5}`, `file ${a} ${b}\n`),
    ],
  });
  return link("tree", id);
}

const mtimes = async (store: EmbeddedStore, a: number): Promise<Link> =>
  link(
    "mtimes",
    await writeMtimes(store.objects, {
      own: BigInt(a) * 1_000_000_007n,
      entries: [{ type: "f", name: Buffer.from("same"), ns: BigInt(a) }],
    }),
  );

export interface BuildOptions {
  /** Ids of logs and clock; by default random. */
  id?: () => string;
  /** Wraps each operation. */
  during?: <T>(work: () => Promise<T>) => Promise<T>;
}

/** Performs `script` on a store. The writers stay open until `close`. */
export async function buildTraces(
  store: EmbeddedStore,
  script: readonly Op[],
  options: BuildOptions = {},
): Promise<Traces> {
  const scopes: Scope[] = [];
  const garbage: Link[] = [];
  const blob = async (text: string) => link("blob", await store.objects.put(Buffer.from(text)));
  const at = { witness: { at: 1_700_000_000_000 } };

  const attach = async (header: LogHeader): Promise<Scope> => {
    await store.logs.create(header);
    const name = `scope/s${serial++}`;
    await store.refs.cas(name, 0, JSON.stringify({ log: header.id }));
    const epoch = (await store.leases.acquire(`log/${header.id}`))!;
    const scope = { name, log: header.id, writer: await openWriter(store, header.id, epoch), epoch, live: true };
    scopes.push(scope);
    return scope;
  };
  const newId = options.id ?? newLogId;
  const main = async (): Promise<Scope> => {
    const scope = await attach({
      v: 1,
      type: "log",
      id: newId(),
      origin: null,
      meta: { workspace: await blob("/home/me") },
    });
    const { writer } = scope;
    const n = await writer.intent({ kind: "run", tier: "reversible", what: await blob("task") }, at);
    await writer.outcome(
      n,
      { status: "done", workspace: await sampleTree(store, 0, 0), threads: { main: { append: [await blob("user")] } } },
      at,
    );
    return scope;
  };

  const perform = async ({ kind, a, b }: Op): Promise<void> => {
    const live = scopes.filter((scope) => scope.live);
    const scope = live[a % Math.max(1, live.length)] ?? (await main());
    const { writer } = scope;
    const head = writer.fold.head();
    switch (kind) {
      case "step": {
        const n = await writer.intent(
          { kind: "tool", tier: "reversible", thread: "main", what: await blob(`call ${a}`) },
          at,
        );
        const threads = { main: { append: [await blob(`result ${a} ${b}`)] } };
        await writer.outcome(
          n,
          { status: "done", workspace: await sampleTree(store, a, b), threads },
          { ...at, carry: { mtimes: await mtimes(store, a) } },
        );
        break;
      }
      case "turn": {
        const turn = await writer.intent(
          {
            kind: "model",
            tier: "repeatable",
            thread: "main",
            what: link("json", await store.objects.put(encodeJson({ ask: await blob(`q${a}`) }))),
          },
          at,
        );
        const links = { turn };
        const first = await writer.intent(
          { kind: "tool", tier: "reversible", thread: "main", shared: b % 2 === 0 },
          { ...at, links },
        );
        const second = await writer.intent(
          { kind: "tool", tier: "reversible", thread: "main", shared: b % 2 === 0 },
          { ...at, links },
        );
        await writer.outcome(first, { status: "done", threads: { main: { append: [await blob(`one ${a}`)] } } }, at);
        await writer.outcome(turn, { status: "done", threads: { main: { append: [await blob(`answer ${a}`)] } } }, at);
        if (b % 5 > 0) await writer.outcome(second, { status: "failed", workspace: await sampleTree(store, b, a) }, at);
        break;
      }
      case "fork": {
        if (!head.id) break;
        const step = writer.fold.steps.get(head.n);
        const origin = step?.sealed
          ? {
              log: scope.log,
              n: head.n,
              seq: step.sealed.seq,
              commit: head.id,
              state: head.state!,
              top: head.top,
              carry: head.carry,
            }
          : writer.fold.header.origin;
        await attach({ v: 1, type: "log", id: newId(), origin, meta: { kind: "scope" } });
        break;
      }
      case "merge": {
        const child = live[b % live.length];
        const from = child?.writer.fold.head();
        if (!child || child === scope || !from?.id) break;
        const n = await writer.intent({ kind: "merge", tier: "reversible" }, at);
        await writer.outcome(n, { status: "done", with: from.id, state: from.state as State }, at);
        break;
      }
      case "revert": {
        const step = writer.fold.sealed[b % Math.max(1, writer.fold.sealed.length)];
        if (!step) break;
        const n = await writer.intent({ kind: "revert", tier: "reversible", to: step.sealed!.id }, at);
        await writer.outcome(n, { status: "done", state: step.sealed!.state }, at);
        break;
      }
      case "discard": {
        if (live.length < 2) break;
        scope.live = false;
        const ref = (await store.refs.get(scope.name))!;
        await store.refs.cas(scope.name, ref.version, null);
        await store.leases.release(`log/${scope.log}`, scope.epoch);
        break;
      }
      case "stray": {
        // A frame that lost against the one before it.
        const all: Frame[] = [];
        for await (const frame of store.logs.read(scope.log)) all.push(frame);
        const lost = all.at(-1);
        if (!lost) break;
        const stray = { ...lost, phase: "note", n: null, facts: { note: `stray ${a}` } } as Frame;
        const second = { ...stray, seq: stray.seq + 1, prev: frameHash(stray) };
        appendFileSync(
          fileOf(store, scope.log),
          Buffer.concat([encodeRecord(encodeFrame(stray)), encodeRecord(encodeFrame(second as Frame))]),
        );
        break;
      }
      case "torn": {
        const record = encodeRecord(encodeJson({ v: 1, note: "x".repeat(a) }));
        appendFileSync(fileOf(store, scope.log), record.subarray(0, 1 + (b % (record.length - 1))));
        await writer.note(null, { note: "after" });
        break;
      }
      case "pack":
        await makePack(store);
        break;
      case "garbage":
        garbage.push(await sampleTree(store, 5000 + a, b));
        break;
    }
  };
  const during = options.during ?? ((work) => work());
  if (scopes.length === 0) await during(main);
  for (const op of script) await during(() => perform(op));
  return {
    scopes,
    garbage,
    close: async () => {
      for (const scope of scopes) await store.leases.release(`log/${scope.log}`, scope.epoch);
    },
  };
}

/** Ids of all objects that the frames that count name, straight or not, but for what follows from the logs. */
export async function reachableFromLogs(store: EmbeddedStore, logs?: readonly string[]): Promise<Set<Hash>> {
  const ids = new Set<Hash>();
  store.objects.refresh();
  const reach = startReach(packShelf(store.objects), followers, { onEdge: (_, to) => ids.add(target(to)) });
  for (const log of logs ?? (await store.logs.list())) {
    const named: Link[] = [...linksIn(await store.logs.header(log))];
    for await (const frame of store.logs.read(log)) named.push(...linksIn(frame));
    for (const each of named) if (!each.startsWith("items:")) ids.add(target(each));
    await reach.follow(named);
  }
  return ids;
}

export const fileOf = (store: { directory: string }, log: string): string => `${store.directory}/logs/${log}.log`;
