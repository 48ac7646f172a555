import { expect, test } from "vitest";
import { encodeJson, link, sha256 } from "./bytes.ts";
import type { Hash, Link } from "./ports.ts";
import { type Followers, isWhole, linkSet, type Shelf, startReach, type Trouble, traceFollowers } from "./reach.ts";

const followers: Followers = { ...traceFollowers, tree: () => [], mtimes: () => [], chunks: () => [] };

/** Objects in memory, and how often each was read. */
function memory(): Shelf & { put(value: unknown): Link; map: Map<Hash, Uint8Array>; reads: Map<Hash, number> } {
  const map = new Map<Hash, Uint8Array>();
  const reads = new Map<Hash, number>();
  return {
    map,
    reads,
    put: (value) => {
      const bytes = encodeJson(value);
      map.set(sha256(bytes), bytes);
      return link("json", sha256(bytes));
    },
    holds: (id) => map.has(id),
    read: (id) => {
      reads.set(id, (reads.get(id) ?? 0) + 1);
      return map.get(id) ?? "missing";
    },
  };
}

test("a chain as deep as memory is followed to its end", async () => {
  const shelf = memory();
  let last = shelf.put({ end: true });
  for (let k = 0; k < 20_000; k++) last = shelf.put({ last });
  const reach = startReach(shelf, followers);
  await reach.follow([last]);
  expect(reach.seen.size).toBe(20_001);
});

test("an object that is named along a billion ways is read once", async () => {
  const shelf = memory();
  let below = shelf.put("leaf");
  for (let k = 0; k < 64; k++) below = shelf.put([below, below, { again: below }]);
  const reach = startReach(shelf, followers);
  await reach.follow([below, below]);
  expect(reach.seen.size).toBe(65);
  expect(Math.max(...shelf.reads.values())).toBe(1);
});

test("objects that name each other in a circle end the walk, though no hash allows it", async () => {
  const shelf = memory();
  const a = shelf.put("a");
  const b = shelf.put("b");
  const circle: Followers = { ...followers, json: () => [a, b] };
  const reach = startReach(shelf, circle);
  await reach.follow([a]);
  expect(reach.seen.size).toBe(2);
});

test("the same bytes are followed as each kind that they are named as, and as content not at all", async () => {
  const shelf = memory();
  const leaf = shelf.put("leaf");
  const list = shelf.put({ leaf });
  const id = list.slice("json:".length);
  const reach = startReach(shelf, followers);
  await reach.follow([link("blob", id)]);
  expect(reach.seen.hasId(leaf.slice(5))).toBe(false);
  expect(shelf.reads.size).toBe(0);
  await reach.follow([list]);
  expect(reach.seen.has("json", leaf.slice(5))).toBe(true);
  expect([reach.seen.has("blob", id), reach.seen.has("json", id), reach.seen.has("tree", id)]).toEqual([
    true,
    true,
    false,
  ]);
});

test("what cannot be followed is told, with what names it", async () => {
  const shelf = memory();
  const missing = link("blob", sha256("nowhere"));
  const broken = link("json", sha256("broken"));
  shelf.map.set(sha256("broken"), Buffer.from("{"));
  const top = shelf.put([missing, broken]);
  const told: Trouble[] = [];
  await startReach(shelf, followers, { onTrouble: (trouble) => told.push(trouble) }).follow([top]);
  expect(told).toEqual([
    { link: missing, what: "missing", from: top, why: "" },
    { link: broken, what: "malformed", from: null, why: expect.any(String) },
  ]);
  expect(await isWhole(shelf, followers, [top])).toBe(false);
  expect(await isWhole(shelf, followers, [shelf.put("whole")])).toBe(true);
});

test("a walk can be stopped", async () => {
  const shelf = memory();
  let last = shelf.put(0);
  for (let k = 0; k < 50_000; k++) last = shelf.put({ last });
  const stop = new AbortController();
  const walk = startReach(shelf, followers, { signal: stop.signal }).follow([last]);
  setImmediate(() => stop.abort(new Error("enough")));
  await expect(walk).rejects.toThrow("enough");
});

test("a set of links tells kinds apart", () => {
  const set = linkSet();
  set.add("tree", sha256("a"));
  set.add("tree", sha256("a"));
  set.add("blob", sha256("a"));
  expect([set.size, set.has("tree", sha256("a")), set.has("json", sha256("a")), set.hasId(sha256("b"))]).toEqual([
    1,
    true,
    false,
    false,
  ]);
});
