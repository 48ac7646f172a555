import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryObjects } from "../../test/support/objects.ts";
import { params } from "../../test/support/runs.ts";
import { sha256 } from "../trace/bytes.ts";
import { MAX_OBJECT } from "../trace/ports.ts";
import { decodeMtimes, encodeMtimes, linksOfMtimes, type MtimeEntry, readMtimes, writeMtimes } from "./mtimes.ts";
import { decodeTree, type Entry, encodeTree, linksOfTree, MAX_NAME, PART, readTree, writeTree } from "./tree.ts";

const name = fc
  .oneof(fc.uint8Array({ minLength: 1, maxLength: 5 }), fc.uint8Array({ minLength: 250, maxLength: MAX_NAME }))
  .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0xff : byte))))
  .filter((bytes) => !bytes.equals(Buffer.from(".")) && !bytes.equals(Buffer.from("..")));
const id = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString("hex"));
const mode = fc.nat(0o7777);
const entry: fc.Arbitrary<Entry> = fc.oneof(
  fc.record({ type: fc.constantFrom("f" as const, "F" as const), mode, name, id }),
  fc.record({ type: fc.constantFrom("l" as const, "d" as const), mode: fc.constant(0), name, id }),
);
const byName = <T extends { name: Buffer }>(entries: T[]): T[] => {
  const unique = new Map(entries.map((each) => [each.name.toString("latin1"), each]));
  return [...unique].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each);
};
const entries = fc.array(entry, { maxLength: 20 }).map(byName);
const time: fc.Arbitrary<MtimeEntry> = fc.oneof(
  fc.record({ type: fc.constant("f" as const), name, ns: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) }),
  fc.record({ type: fc.constant("d" as const), name, id }),
);
const times = fc.record({
  own: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  entries: fc.array(time, { maxLength: 20 }).map(byName),
});

/** Any damage: bits turned, bytes cut off or added, pieces doubled. */
const damage = fc.oneof(
  fc.record({ how: fc.constant("flip" as const), at: fc.nat(), bit: fc.nat(7) }),
  fc.record({ how: fc.constant("cut" as const), at: fc.nat(), bit: fc.nat(7) }),
  fc.record({ how: fc.constant("insert" as const), at: fc.nat(), bit: fc.nat(255) }),
  fc.record({ how: fc.constant("double" as const), at: fc.nat(), bit: fc.nat() }),
);
function harm(bytes: Buffer, { how, at, bit }: { how: string; at: number; bit: number }): Buffer {
  at %= bytes.length + (how === "flip" ? 0 : 1);
  if (how === "cut") return bytes.subarray(0, at);
  if (how === "insert") return Buffer.concat([bytes.subarray(0, at), Buffer.from([bit]), bytes.subarray(at)]);
  if (how === "double") return Buffer.concat([bytes, bytes.subarray(at)]);
  const copy = Buffer.from(bytes);
  copy[at]! ^= 1 << bit;
  return copy;
}

const numbered = (count: number): Entry[] =>
  Array.from({ length: count }, (_, i) => ({
    type: "f",
    mode: 0o644,
    name: Buffer.from(`${String(i).padStart(6, "0")}.${"n".repeat(20)}`),
    id: sha256(String(i)),
  }));

describe("a tree", () => {
  it("has the bytes that the format says", () => {
    const [bytes] = encodeTree({
      mode: 0o755,
      entries: [
        { type: "d", mode: 0, name: Buffer.from("src"), id: "22".repeat(32) },
        { type: "f", mode: 0o4755, name: Buffer.from([0x61, 0xff]), id: "11".repeat(32) },
      ],
    });
    const hex = (text: string) => Buffer.from(text).toString("hex");
    expect(bytes!.toString("hex")).toBe(
      `${hex("shepherd tree 1\n")}01ed${hex("f")}09ed000261ff${"11".repeat(32)}${hex("d")}00000003${hex("src")}${"22".repeat(32)}`,
    );
  });

  it("comes back as it was, from any order of entries", async () => {
    await fc.assert(
      fc.asyncProperty(mode, entries, async (mode, entries) => {
        const objects = memoryObjects();
        const id = await writeTree(objects, { mode, entries });
        expect(await writeTree(objects, { mode, entries: [...entries].reverse() })).toBe(id);
        expect(await readTree(objects, id)).toEqual({ mode, entries });
      }),
      params(1000),
    );
  });

  it("refuses to write what no directory has", () => {
    const of = (entry: Partial<Entry>) => () =>
      encodeTree({
        mode: 0,
        entries: [{ type: "f", mode: 0, name: Buffer.from("a"), id: "00".repeat(32), ...entry }],
      });
    expect(of({})).not.toThrow();
    for (const name of ["", ".", "..", "a/b", "a\0", "n".repeat(MAX_NAME + 1)])
      expect(of({ name: Buffer.from(name) })).toThrow(/^This is not the tree of a directory/);
    expect(of({ mode: 0o10000 })).toThrow();
    expect(of({ type: "d", mode: 1 })).toThrow();
    expect(of({ id: "zz".repeat(32) })).toThrow();
    expect(of({ id: "00" })).toThrow();
    expect(() => encodeTree({ mode: 0, entries: [...numbered(1), ...numbered(1)] })).toThrow(/twice/);
  });

  it("is split exactly when it would be too large, and comes back", async () => {
    const objects = memoryObjects();
    // 64 bytes an entry: 18 of the head, so the last that fits is (2^20 - 18) / 64.
    const fits = Math.floor((MAX_OBJECT - 18) / 64);
    expect(encodeTree({ mode: 0o700, entries: numbered(fits) })).toHaveLength(1);
    const parts = encodeTree({ mode: 0o700, entries: numbered(fits + 1) });
    expect(parts).toHaveLength(Math.ceil((fits + 1) / PART) + 1);
    for (const count of [fits, fits + 1]) {
      const tree = { mode: 0o700, entries: numbered(count) };
      const read = await readTree(objects, await writeTree(objects, tree));
      expect(read.entries).toHaveLength(count);
      expect(Buffer.concat(encodeTree(read)).equals(Buffer.concat(encodeTree(tree)))).toBe(true);
    }
    expect(linksOfTree(parts.at(-1)!)).toEqual(parts.slice(0, -1).map((part) => `tree:${sha256(part)}`));
  });

  it("holds the longest names, as many as there may be", () => {
    const entries = numbered(3000).map((each, i) => ({
      ...each,
      name: Buffer.from(String(i).padStart(MAX_NAME, "0")),
    }));
    for (const part of encodeTree({ mode: 0, entries })) expect(part.length).toBeLessThanOrEqual(MAX_OBJECT);
  });

  it("is refused where its parts are not what splitting gives", async () => {
    const objects = memoryObjects();
    const put = async (mode: number, ...parts: Buffer[]) => {
      const ids = await Promise.all(parts.map((part) => objects.put(part)));
      const head = Buffer.concat([Buffer.from("shepherd trees 1\n"), Buffer.from([mode >> 8, mode & 255])]);
      return objects.put(Buffer.concat([head, ...ids.map((id) => Buffer.from(id, "hex"))]));
    };
    const all = numbered(20_000);
    const cut = (size: number, mode = 0) => {
      const parts: Buffer[] = [];
      for (let at = 0; at < all.length; at += size)
        parts.push(encodeTree({ mode, entries: all.slice(at, at + size) })[0]!);
      return parts;
    };
    const right = cut(PART);
    await expect(readTree(objects, await put(0, ...right))).resolves.toMatchObject({ mode: 0 });
    await expect(readTree(objects, await put(1, ...right))).rejects.toThrow(/parts is none/);
    await expect(readTree(objects, await put(0, ...cut(PART / 2)))).rejects.toThrow(/wrong size/);
    await expect(readTree(objects, await put(0, ...right.slice(1), right[0]!))).rejects.toThrow();
    await expect(readTree(objects, await put(0, ...right, right.at(-1)!))).rejects.toThrow();
    await expect(readTree(objects, await put(0, right[0]!, right[1]!))).rejects.toThrow(/without need/);
    const nested = await put(0, ...right);
    await expect(readTree(objects, await put(0, objects.map.get(nested) as Buffer, right[0]!))).rejects.toThrow();
  });

  it("that is damaged is refused with a sentence, or is another valid tree", () => {
    fc.assert(
      fc.property(mode, entries, fc.array(damage, { minLength: 1, maxLength: 3 }), (mode, entries, wounds) => {
        const bytes = wounds.reduce(harm, encodeTree({ mode, entries })[0]!);
        check(bytes, decodeTree, (tree) => ("entries" in tree ? encodeTree(tree)[0]! : null));
        if (bytes.length > 0) for (const prefix of [decodeTree, linksOfTree]) attempt(() => prefix(bytes));
      }),
      params(5000, 1000),
    );
  });
});

describe("a list of modification times", () => {
  it("has the bytes that the format says", () => {
    const [bytes] = encodeMtimes({
      own: -1n,
      entries: [
        { type: "f", name: Buffer.from("a"), ns: 1n },
        { type: "d", name: Buffer.from("b"), id: "11".repeat(32) },
      ],
    });
    const hex = (text: string) => Buffer.from(text).toString("hex");
    expect(bytes!.toString("hex")).toBe(
      `${hex("shepherd mtimes 1\n")}${"ff".repeat(8)}${hex("f")}0001${hex("a")}0000000000000001${hex("d")}0001${hex("b")}${"11".repeat(32)}`,
    );
  });

  it("comes back as it was, also where it is split", async () => {
    await fc.assert(
      fc.asyncProperty(times, async (times) => {
        const objects = memoryObjects();
        expect(await readMtimes(objects, await writeMtimes(objects, times))).toEqual(times);
      }),
      params(1000),
    );
    const objects = memoryObjects();
    const many = {
      own: 5n,
      entries: numbered(40_000).map(({ name }): MtimeEntry => ({ type: "f", name, ns: 7n })),
    };
    const parts = encodeMtimes(many);
    expect(parts).toHaveLength(Math.ceil(40_000 / PART) + 1);
    const read = await readMtimes(objects, await writeMtimes(objects, many));
    expect(Buffer.concat(encodeMtimes(read)).equals(Buffer.concat(parts))).toBe(true);
    expect(linksOfMtimes(parts.at(-1)!)).toHaveLength(parts.length - 1);
  });

  it("tells owners where one is not root, and is the same list where all are", async () => {
    const owner = fc.record({ uid: fc.nat(3), gid: fc.nat(3) });
    await fc.assert(
      fc.asyncProperty(times, owner, fc.array(owner), async (times, own, owners) => {
        const entries = times.entries.map((entry, i) =>
          entry.type === "f" ? { ...entry, owner: owners[i] ?? { uid: 0, gid: 0 } } : entry,
        );
        const owned = { ...times, owner: own, entries };
        const all = [own, ...entries.map((each) => (each.type === "f" ? each.owner : own))];
        const objects = memoryObjects();
        const id = await writeMtimes(objects, owned);
        if (all.some(({ uid, gid }) => uid !== 0 || gid !== 0)) expect(await readMtimes(objects, id)).toEqual(owned);
        else expect(id).toBe(await writeMtimes(objects, times));
        expect(linksOfMtimes((await objects.get(id))!)).toEqual(linksOfMtimes(encodeMtimes(times).at(-1)!));
      }),
      params(1000),
    );
    const many = numbered(40_000).map(
      ({ name }): MtimeEntry => ({ type: "f", name, ns: 7n, owner: { uid: 0, gid: 0 } }),
    );
    many[39_999] = { type: "f", name: many[39_999]!.name, ns: 7n, owner: { uid: 1, gid: 2 } };
    const objects = memoryObjects();
    const split = { own: 5n, owner: { uid: 0, gid: 0 }, entries: many };
    const read = await readMtimes(objects, await writeMtimes(objects, split));
    expect(Buffer.concat(encodeMtimes(read)).equals(Buffer.concat(encodeMtimes(split)))).toBe(true);
    const needless = encodeMtimes({ own: 1n, owner: { uid: 1, gid: 0 }, entries: [] })[0]!;
    needless.fill(0, needless.length - 8);
    await expect(readMtimes(objects, await objects.put(needless))).rejects.toThrow("it tells owners without need");
  });

  it("that is damaged is refused with a sentence, or is another valid one", () => {
    fc.assert(
      fc.property(times, fc.array(damage, { minLength: 1, maxLength: 3 }), (times, wounds) => {
        const bytes = wounds.reduce(harm, encodeMtimes(times)[0]!);
        check(bytes, decodeMtimes, (times) => ("entries" in times ? encodeMtimes(times)[0]! : null));
        attempt(() => linksOfMtimes(bytes));
      }),
      params(5000, 1000),
    );
  });
});

/** Decodes; an error must be a sentence, a value must be the only one with these bytes. */
function check<T>(bytes: Buffer, decode: (bytes: Uint8Array) => T, encode: (value: T) => Buffer | null): void {
  let value: T;
  try {
    value = decode(bytes);
  } catch (error) {
    expect((error as Error).message).toMatch(/^This is not .*\.$/);
    return;
  }
  const again = encode(value);
  if (again) expect(again.equals(bytes)).toBe(true);
}

function attempt(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    expect((error as Error).message).toMatch(/^This is not .*\.$/);
  }
}
