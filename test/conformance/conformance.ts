/**
 * What every implementation of the four ports must do. A new one runs this suite with a `Backend` of its own:
 *
 *     conformance("PostgreSQL", async () => ({ open, die, end }));
 */
import { createHash, randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { link, sha256 } from "../../src/trace/bytes.ts";
import { frameHash, headerHash } from "../../src/trace/chain.ts";
import type { Frame } from "../../src/trace/frame.ts";
import { type Hash, type LogHeader, MAX_OBJECT, type Store } from "../../src/trace/ports.ts";
import { encodeRecord } from "../../src/trace/record.ts";
import { openWriter } from "../../src/trace/writer.ts";

/** One store, and processes that have it open. */
export interface Backend {
  /** Opens the store as another process would. */
  open(): Promise<Store>;
  /** Ends that process, without closing anything. */
  die(store: Store): void;
  /** Closes and removes everything. */
  end(): Promise<void>;
}

export const newId = (): string => randomBytes(16).toString("hex");

export const emptyHeader = (id: string): LogHeader => ({ v: 1, type: "log", id, origin: null, meta: {} });

/** Notes that follow on `prev`, as a writer makes them. */
export function notes(from: number, epoch: number, prev: Hash, ...texts: string[]): Frame[] {
  return texts.map((note, i) => {
    const frame: Frame = { v: 1, seq: from + i, epoch, n: null, phase: "note", prev, facts: { note } };
    prev = frameHash(frame);
    return frame;
  });
}

export async function all<T>(frames: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const frame of frames) list.push(frame);
  return list;
}

const texts = (frames: Frame[]): unknown[] => frames.map((frame) => (frame.facts as { note?: string }).note);

export function conformance(name: string, make: () => Promise<Backend>): void {
  describe(`${name} conforms`, () => {
    let backend: Backend;
    let store: Store;
    let other: Store;
    beforeEach(async () => {
      backend = await make();
      store = await backend.open();
      other = await backend.open();
    });
    afterEach(() => backend.end());

    describe("objects", () => {
      const bytes = (length: number, seed = 1): Buffer => {
        const parts: Buffer[] = [];
        for (let i = 0; i * 32 < length; i++) parts.push(createHash("sha256").update(`${seed} ${i}`).digest());
        return Buffer.concat(parts).subarray(0, length);
      };

      test.each([0, 1, 32, 511, 512, 20_000, MAX_OBJECT])("%d bytes come back, under their SHA-256", async (length) => {
        for (const content of [bytes(length), Buffer.alloc(length, "text ")]) {
          const id = await store.objects.put(content);
          expect(id).toBe(createHash("sha256").update(content).digest("hex"));
          for (const reader of [store, other])
            expect(Buffer.from((await reader.objects.get(id))!).equals(content)).toBe(true);
        }
      });

      test("what is larger than an object may be is refused", async () => {
        await expect(store.objects.put(Buffer.alloc(MAX_OBJECT + 1))).rejects.toThrow(/over the limit/);
      });

      test("putting twice is putting once, and the buffer may be used again", async () => {
        const content = Buffer.from("once");
        const id = await store.objects.put(content);
        content.fill("x");
        expect(await store.objects.put(Buffer.from("once"))).toBe(id);
        expect(Buffer.from((await store.objects.get(id))!).toString()).toBe("once");
      });

      test("what was never put is not there", async () => {
        expect(await store.objects.get(sha256("nothing"))).toBeNull();
        expect(await store.objects.get("no hash")).toBeNull();
      });

      test("has answers each id, also for what another process put", async () => {
        const one = await store.objects.put(Buffer.from("one"));
        const two = await other.objects.put(Buffer.from("two"));
        expect(await store.objects.has([one, sha256("none"), two, one])).toEqual([true, false, true, true]);
        expect(await store.objects.has([])).toEqual([]);
      });

      test("content that looks like the store's own files does no harm", async () => {
        const evil = Buffer.concat(Array.from({ length: 50 }, (_, i) => encodeRecord(bytes(100, i))));
        const ids = [await store.objects.put(evil), await other.objects.put(Buffer.concat([bytes(3), evil, evil]))];
        const after = await store.objects.put(Buffer.from("after"));
        const late = await backend.open();
        expect(Buffer.from((await late.objects.get(ids[0]!))!).equals(evil)).toBe(true);
        expect((await late.objects.get(ids[1]!))!.length).toBe(3 + 2 * evil.length);
        expect(Buffer.from((await late.objects.get(after))!).toString()).toBe("after");
      });

      test("processes that put at the same time find everything", async () => {
        const stores = [store, other, await backend.open()];
        const ids = await Promise.all(
          Array.from({ length: 120 }, (_, i) => stores[i % 3]!.objects.put(Buffer.from(`object ${Math.floor(i / 2)}`))),
        );
        for (const each of stores) expect(await each.objects.has(ids)).toEqual(ids.map(() => true));
      });
    });

    describe("refs", () => {
      test("a ref is made, changed and deleted by who knows its version", async () => {
        expect(await store.refs.get("a")).toBeNull();
        expect(await store.refs.cas("a", 0, "one")).toBe(true);
        expect(await other.refs.get("a")).toEqual({ value: "one", version: 1 });
        expect(await other.refs.cas("a", 1, "two")).toBe(true);
        expect(await store.refs.get("a")).toEqual({ value: "two", version: 2 });
        expect(await store.refs.cas("a", 2, null)).toBe(true);
        expect(await other.refs.get("a")).toBeNull();
        expect(await other.refs.list("")).toEqual([]);
      });

      test("who knows an older version, or none, changes nothing", async () => {
        await store.refs.cas("a", 0, "one");
        await store.refs.cas("a", 1, "two");
        for (const expected of [0, 1, 3, -1]) expect(await other.refs.cas("a", expected, "wrong")).toBe(false);
        expect(await other.refs.cas("b", 1, "wrong")).toBe(false);
        expect(await store.refs.get("a")).toEqual({ value: "two", version: 2 });
      });

      test("a ref that comes again goes on counting, so that who remembers the first is not taken for its owner", async () => {
        await store.refs.cas("a", 0, "one");
        await store.refs.cas("a", 1, null);
        expect(await store.refs.cas("a", 0, "again")).toBe(true);
        expect((await store.refs.get("a"))!.version).toBe(3);
        expect(await other.refs.cas("a", 1, "wrong")).toBe(false);
      });

      test("list gives the refs with a prefix, sorted, whatever their names hold", async () => {
        const names = ["b", "a/2", "a/10", "a", "a/ü", "a/\n", "__proto__", "a/constructor"];
        for (const each of names) await store.refs.cas(each, 0, `of ${each}`);
        expect((await other.refs.list("a/")).map((ref) => ref.name)).toEqual([
          "a/\n",
          "a/10",
          "a/2",
          "a/constructor",
          "a/ü",
        ]);
        expect((await other.refs.list("")).map((ref) => ref.name)).toEqual([...names].sort());
        expect(await other.refs.get("__proto__")).toEqual({ value: "of __proto__", version: 1 });
        expect(await other.refs.get("toString")).toBeNull();
      });

      test("of many who change the same version one succeeds", async () => {
        for (let round = 0; round < 5; round++) {
          const answers = await Promise.all(
            Array.from({ length: 12 }, (_, i) => (i % 2 ? store : other).refs.cas("a", round, `${round}.${i}`)),
          );
          expect(answers.filter(Boolean)).toHaveLength(1);
          expect((await store.refs.get("a"))!.value).toBe(`${round}.${answers.indexOf(true)}`);
        }
      });

      test("increments by many are all counted", async () => {
        await store.refs.cas("n", 0, "0");
        const increment = async (by: Store): Promise<void> => {
          for (;;) {
            const ref = (await by.refs.get("n"))!;
            if (await by.refs.cas("n", ref.version, String(Number(ref.value) + 1))) return;
          }
        };
        await Promise.all(Array.from({ length: 60 }, (_, i) => increment(i % 2 ? store : other)));
        expect(await other.refs.get("n")).toEqual({ value: "60", version: 61 });
      });
    });

    describe("logs", () => {
      let id: string;
      let first: Hash;
      beforeEach(async () => {
        id = newId();
        await store.logs.create(emptyHeader(id));
        first = headerHash(emptyHeader(id));
      });

      test("a log is made once, with its header", async () => {
        const meta = { name: "fix", ünï: [1, null, { deep: true }] };
        const header = { ...emptyHeader(newId()), meta };
        await store.logs.create(header);
        expect(await other.logs.header(header.id)).toEqual(header);
        await expect(other.logs.create(header)).rejects.toThrow(/exists/);
        expect(await other.logs.header(newId())).toBeNull();
        expect(await other.logs.list()).toEqual([id, header.id].sort());
      });

      test("what is no log is refused in a sentence", async () => {
        const none = newId();
        await expect(store.logs.append(none, 0, 1, notes(0, 1, first, "a"))).rejects.toThrow(/There is no log/);
        await expect(all(store.logs.read(none))).rejects.toThrow(/There is no log/);
      });

      test("frames come back in order, from any of them on", async () => {
        const frames = notes(0, 1, first, "a", "b", "c", "d", "e");
        expect(await store.logs.append(id, 0, 1, frames.slice(0, 2))).toBe(true);
        expect(await store.logs.append(id, 2, 1, frames.slice(2))).toBe(true);
        for (const reader of [store, other]) {
          expect(await all(reader.logs.read(id))).toEqual(frames);
          for (const from of [0, 1, 3, 5, 9]) expect(await all(reader.logs.read(id, from))).toEqual(frames.slice(from));
        }
      });

      test("a thousand frames come back from any place", async () => {
        const frames = notes(0, 1, first, ...Array.from({ length: 1000 }, (_, i) => `note ${i}`));
        for (let at = 0; at < 1000; at += 7)
          expect(await store.logs.append(id, at, 1, frames.slice(at, at + 7))).toBe(true);
        for (const reader of [store, other, await backend.open()])
          for (const from of [0, 255, 256, 257, 700, 999, 1000])
            expect((await all(reader.logs.read(id, from))).map(({ seq }) => seq)).toEqual(
              frames.slice(from).map(({ seq }) => seq),
            );
      });

      test("who was overtaken by another appends nothing", async () => {
        const [a, b] = notes(0, 1, first, "a", "b");
        expect(await store.logs.append(id, 0, 1, [a!])).toBe(true);
        expect(await other.logs.append(id, 0, 1, notes(0, 1, first, "late"))).toBe(false);
        expect(await other.logs.append(id, 2, 1, notes(2, 1, first, "early"))).toBe(false);
        expect(await other.logs.append(id, 1, 1, [b!])).toBe(true);
        expect(texts(await all(store.logs.read(id)))).toEqual(["a", "b"]);
      });

      test("an older epoch appends nothing once a newer one did", async () => {
        const [a] = notes(0, 3, first, "a");
        expect(await store.logs.append(id, 0, 3, [a!])).toBe(true);
        expect(await other.logs.append(id, 1, 2, notes(1, 2, frameHash(a!), "stale"))).toBe(false);
        expect(await other.logs.append(id, 1, 4, notes(1, 4, frameHash(a!), "b"))).toBe(true);
        expect(await store.logs.append(id, 2, 3, notes(2, 3, first, "stale"))).toBe(false);
        expect(texts(await all(store.logs.read(id)))).toEqual(["a", "b"]);
      });

      test("frames that do not follow on each other, or could not be read again, are refused and not written", async () => {
        const [a, b] = notes(0, 1, first, "a", "b");
        const wrong: Frame[][] = [
          [{ ...a!, prev: sha256("other") }],
          [a!, { ...b!, prev: first }],
          [a!, { ...b!, seq: 7 }],
          [{ ...a!, epoch: 2 }],
          [{ ...a!, n: -1 }],
          [{ ...a!, facts: {} as never }],
          [{ ...a!, facts: { note: "\ud800" } } as Frame],
          [{ ...a!, phase: "other" as never }],
          [{ ...a!, facts: { note: "x", more: "y".repeat(2 * MAX_OBJECT) } } as Frame],
        ];
        for (const frames of wrong) await expect(store.logs.append(id, 0, 1, frames)).rejects.toThrow(/./);
        expect(await store.logs.append(id, 0, 1, [])).toBe(true);
        expect(await store.logs.append(id, 0, 1, [a!, b!])).toBe(true);
        expect(texts(await all(other.logs.read(id)))).toEqual(["a", "b"]);
      });

      test("of writers that append at the same time each frame is there once, in some order", async () => {
        const writers = await Promise.all(
          [store, other].map((each) => openWriter({ logs: each.logs, derived: each.objects }, id, 1)),
        );
        const wanted = Array.from({ length: 80 }, (_, i) => `note ${i}`);
        await Promise.all(wanted.map((note, i) => writers[i % 2]!.note(null, { note })));
        const late = await backend.open();
        expect((texts(await all(late.logs.read(id))) as string[]).sort()).toEqual([...wanted].sort());
      });

      test("a tail gives what is there and what comes, from any process, until it is ended", async () => {
        const frames = notes(0, 1, first, "a", "b", "c", "d");
        await store.logs.append(id, 0, 1, frames.slice(0, 2));
        const abort = new AbortController();
        const tails = [
          { by: store, from: 0 },
          { by: other, from: 1 },
          { by: await backend.open(), from: 3 },
        ].map(async ({ by, from }) => {
          const seen: number[] = [];
          for await (const frame of by.logs.tail(id, from, { signal: abort.signal, window: 1 })) {
            seen.push(frame.seq);
            if (seen.at(-1) === 3) break;
          }
          return seen;
        });
        await store.logs.append(id, 2, 1, [frames[2]!]);
        await new Promise((resolve) => setTimeout(resolve, 5));
        await other.logs.append(id, 3, 1, [frames[3]!]);
        expect(await Promise.all(tails)).toEqual([[0, 1, 2, 3], [1, 2, 3], [3]]);
        let seen = 0;
        for await (const _ of store.logs.tail(id, 0, { signal: abort.signal }))
          if (++seen === frames.length) setTimeout(() => abort.abort(), 5);
        expect(seen).toBe(frames.length);
        expect(await all(store.logs.tail(id, 0, { signal: abort.signal }))).toEqual([]);
      });

      test("a tail that is not read holds nobody up and misses nothing", async () => {
        const abort = new AbortController();
        const tail = store.logs.tail(id, 0, { signal: abort.signal, window: 4 })[Symbol.asyncIterator]();
        const frames = notes(0, 1, first, ...Array.from({ length: 600 }, (_, i) => `note ${i}`));
        await store.logs.append(id, 0, 1, frames.slice(0, 1));
        expect((await tail.next()).value.seq).toBe(0);
        for (const frame of frames.slice(1)) await store.logs.append(id, frame.seq, 1, [frame]);
        for (let seq = 1; seq < 600; seq++) expect((await tail.next()).value.seq).toBe(seq);
        abort.abort();
        expect((await tail.next()).done).toBe(true);
      });

      test("sync comes back, for logs of others and without anything to do too", async () => {
        await store.logs.append(id, 0, 1, notes(0, 1, first, "a"));
        await Promise.all([store.logs.sync(id), store.logs.sync(id), other.logs.sync(id), other.logs.sync(id)]);
        await store.logs.sync(id);
      });

      test("a frame may name any object that its writer has put", async () => {
        const what = link("blob", await store.objects.put(Buffer.from("what")));
        const frame: Frame = {
          v: 1,
          seq: 0,
          epoch: 1,
          n: 0,
          phase: "intent",
          prev: first,
          facts: { kind: "tool", tier: "reversible", what },
        };
        expect(await store.logs.append(id, 0, 1, [frame])).toBe(true);
        const late = await backend.open();
        expect(await all(late.logs.read(id))).toEqual([frame]);
        expect(await late.objects.has([what.slice(5)])).toEqual([true]);
      });
    });

    describe("leases", () => {
      test("one process holds a key, until it gives it back", async () => {
        const epoch = (await store.leases.acquire("k"))!;
        expect(epoch).toBeGreaterThan(0);
        expect(await other.leases.acquire("k")).toBeNull();
        expect(await store.leases.acquire("k")).toBeNull();
        expect(await other.leases.acquire("another")).not.toBeNull();
        expect(await other.leases.holder("k")).toEqual(await store.leases.holder("k"));
        expect(await store.leases.renew("k", epoch)).toBe(true);
        expect(await other.leases.renew("k", epoch)).toBe(false);
        await other.leases.release("k", epoch);
        expect(await store.leases.renew("k", epoch)).toBe(true);
        await store.leases.release("k", epoch);
        expect(await store.leases.renew("k", epoch)).toBe(false);
        expect(await other.leases.holder("k")).toBeNull();
        expect(await other.leases.acquire("k")).toBeGreaterThan(epoch);
      });

      test("the epoch is greater than the floor and any before", async () => {
        const first = (await store.leases.acquire("k", 41))!;
        expect(first).toBeGreaterThan(41);
        await store.leases.release("k", first);
        expect(await store.leases.acquire("k", 5)).toBeGreaterThan(first);
      });

      test("a dead process holds nothing, and is told when it was not quite dead", async () => {
        const epoch = (await store.leases.acquire("k"))!;
        backend.die(store);
        expect(await other.leases.holder("k")).toBeNull();
        const next = (await other.leases.acquire("k"))!;
        expect(next).toBeGreaterThan(epoch);
        expect(await other.leases.renew("k", epoch)).toBe(false);
        expect(await other.leases.renew("k", next)).toBe(true);
      });

      test("of many who want a key one gets it", async () => {
        const stores = [store, other, await backend.open(), await backend.open()];
        const epochs = await Promise.all(Array.from({ length: 20 }, (_, i) => stores[i % 4]!.leases.acquire("k")));
        expect(epochs.filter((epoch) => epoch !== null)).toHaveLength(1);
      });
    });
  });
}
