import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exported, imported, sourceOf } from "../../../test/support/bundle.ts";
import { fastDisk } from "../../../test/support/fast-disk.ts";
import { filesIn } from "../../../test/support/mutate.ts";
import { long, params } from "../../../test/support/runs.ts";
import { buildTraces, followers } from "../../../test/support/traces.ts";
import { decodeJson, encodeJson, sha256 } from "../bytes.ts";
import type { Json } from "../ports.ts";
import { encodeRecord } from "../record.ts";
import { NewerFormat } from "../segment.ts";
import { type EmbeddedStore, openStore } from "../store.ts";
import { BadBundle, ITEMS, type Item, type ItemKind, readBundle, startBundle } from "./format.ts";
import { Clash, planImport } from "./read.ts";
import { verifyBundle } from "./verify.ts";

const LIMIT = long ? 1_800_000 : 60_000;

let directory: string;
let store: EmbeddedStore;
let whole: Buffer;
let items: Item[];
beforeAll(async () => {
  directory = fs.mkdtempSync(`${tmpdir()}/shepherd-hostile-`);
  const from = await openStore(`${directory}/from`, { disk: fastDisk });
  const script = ["step", "fork", "turn", "step", "merge", "revert"].map((kind, a) => ({
    kind: kind as "step",
    a,
    b: a + 1,
  }));
  const traces = await buildTraces(from, script);
  const scopes = traces.scopes.map(({ name, log }) => ({ name: name.slice("scope/".length), log }));
  whole = (await exported(from, scopes)).bytes;
  items = [...readBundle(sourceOf(whole))].map(({ kind, bytes }) => ({ kind, bytes: Buffer.from(bytes) }));
  await traces.close();
  await from.close();
  store = await openStore(`${directory}/to`, { disk: fastDisk });
});
afterAll(async () => {
  await store?.close();
  fs.rmSync(directory, { recursive: true, force: true });
});

/** A file of other items, with all sums right. */
function fileOf(parts: readonly Item[]): Buffer {
  const chunks: Uint8Array[] = [];
  const bundle = startBundle((chunk) => void chunks.push(chunk));
  for (const { kind, bytes } of parts) bundle.add(kind, bytes);
  bundle.end();
  return Buffer.concat(chunks);
}

/** The items with those of a kind changed; null leaves one out. */
const changed = (kind: ItemKind, change: (bytes: Buffer, at: number) => Buffer | Buffer[] | null): Buffer => {
  let at = 0;
  return fileOf(
    items.flatMap((item) => {
      if (item.kind !== kind) return [item];
      const to = change(item.bytes, at++);
      return to === null ? [] : [to].flat().map((bytes) => ({ kind, bytes }));
    }),
  );
};

/** What stands before the JSON of a frame: the number of its log. */
const before = (kind: ItemKind): number => (kind === "frame" ? 4 : 0);

const json = (kind: ItemKind, change: (value: { [key: string]: Json }, at: number) => Json): Buffer =>
  changed(kind, (bytes, at) => {
    const value = decodeJson(bytes.subarray(before(kind))) as { [key: string]: Json };
    return Buffer.concat([bytes.subarray(0, before(kind)), encodeJson(change(value, at))]);
  });

const treeOf = (): string[] => filesIn(store.directory).map((path) => `${path} ${sha256(fs.readFileSync(path))}`);

/** One sentence, and the store is as it was. */
async function refused(bytes: Uint8Array): Promise<string> {
  const before = treeOf();
  let said = "";
  try {
    await planImport(store, sourceOf(bytes), { followers });
  } catch (error) {
    expect(
      [BadBundle, NewerFormat, Clash].some((kind) => error instanceof kind),
      String(error),
    ).toBe(true);
    said = (error as Error).message;
  }
  expect(said).toMatch(/^[A-Z][^\n]{10,400}[.]$/);
  expect(treeOf()).toEqual(before);
  return said;
}

test("the file as it was written passes, also when it is packed otherwise", async () => {
  const read = [...readBundle(sourceOf(fileOf(items)))];
  expect(read).toEqual(items);
  await expect(verifyBundle(sourceOf(fileOf(items)), { followers })).resolves.toBeTruthy();
});

test(
  "no flipped bit, no missing end and no other bytes in between are accepted",
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.nat(7),
        fc.constantFrom("flip", "cut", "insert", "remove", "append"),
        async (at, bit, how) => {
          const place = at % whole.length;
          const bytes = Buffer.from(whole);
          bytes[place]! ^= 1 << bit;
          const of = {
            flip: bytes,
            cut: whole.subarray(0, place),
            insert: Buffer.concat([whole.subarray(0, place), Buffer.of(at & 0xff), whole.subarray(place)]),
            remove: Buffer.concat([whole.subarray(0, place), whole.subarray(place + 1 + bit)]),
            append: Buffer.concat([whole, Buffer.alloc(1 + bit, at & 0xff)]),
          }[how];
          await refused(of);
        },
      ),
      params(20_000, 80),
    );
  },
  LIMIT,
);

test(
  "no byte inside is accepted as another, although all sums of the file are right",
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 }), async (which, at, by) => {
        const item = items[which % items.length]!;
        if (item.bytes.length === 0) return;
        const bytes = Buffer.from(item.bytes);
        bytes[at % bytes.length]! ^= by;
        // Nothing else in the file tells what a scope is called, or what stands in the last frame of a log.
        if (item.kind === "scope" || isLast(item)) return;
        const file = fileOf(items.map((each) => (each === item ? { kind: each.kind, bytes } : each)));
        await refused(file);
      }),
      params(20_000, 80),
    );
  },
  LIMIT,
);

/** Whether no other frame names this one as the one before it. */
const isLast = ({ kind, bytes }: Item): boolean =>
  kind === "frame" && !items.some((each) => each.kind === "frame" && each.bytes.includes(sha256(bytes.subarray(4))));

describe("a file that is made to deceive", () => {
  test.each<[string, () => Buffer, RegExp]>([
    ["is another kind of file", () => Buffer.from("PK\x03\x04 something else"), /no export/],
    ["is empty", () => Buffer.alloc(0), /no export/],
    ["is of a newer format", () => Buffer.from("shepherd run 2\nwhatever"), /format 2, .* update Shepherd/],
    ["has nothing in it", () => fileOf([]), /damaged/],
    ["lacks an object", () => changed("object", (bytes, at) => (at === 3 ? null : bytes)), /missing/],
    [
      "has an object more",
      () => {
        const more: Item = { kind: "object", bytes: Buffer.from("\x01surplus") };
        const at = items.findIndex(({ kind }) => kind === "log");
        const tail = items.at(-1)!;
        const { objects, ...rest } = decodeJson(tail.bytes) as { [key: string]: number };
        const bytes = encodeJson({ ...rest, objects: objects! + 1 });
        return fileOf([...items.slice(0, at), more, ...items.slice(at, -1), { kind: "tail", bytes }]);
      },
      /named by nothing/,
    ],
    ["has an object twice", () => changed("object", (bytes, at) => (at === 3 ? [bytes, bytes] : bytes)), /twice/],
    [
      "has an object of no kind",
      () => changed("object", (bytes, at) => (at === 3 ? Buffer.concat([Buffer.of(64), bytes.subarray(1)]) : bytes)),
      /of no kind/,
    ],
    [
      "has an object of a kind that it is not",
      () => changed("object", (bytes) => Buffer.concat([Buffer.of(bytes[0]! | 4), bytes.subarray(1)])),
      /is no tree/,
    ],
    ["lacks a log", () => changed("log", (bytes, at) => (at === 1 ? null : bytes)), /./],
    [
      "has a log twice",
      () =>
        fileOf(
          items.flatMap((item) =>
            item.kind === "log"
              ? [item, item]
              : item.kind === "head"
                ? [{ kind: "head" as const, bytes: encodeJson({ v: 1, type: "run", scopes: 2, logs: 4 }) }]
                : [item],
          ),
        ),
      /twice/,
    ],
    [
      "has logs in a circle",
      () =>
        json("log", (value, at) =>
          at > 0
            ? value
            : {
                ...value,
                header: {
                  ...(value.header as object),
                  origin: (
                    decodeJson(items.filter(({ kind }) => kind === "log")[1]!.bytes) as { header: { origin: Json } }
                  ).header.origin,
                } as Json,
              },
        ),
      /./,
    ],
    [
      "says that it has more frames",
      () => json("log", (value, at) => ({ ...value, frames: (value.frames as number) + (at === 1 ? 1 : 0) })),
      /missing/,
    ],
    [
      "says that it has fewer frames",
      () => json("log", (value, at) => ({ ...value, frames: (value.frames as number) - (at === 1 ? 1 : 0) })),
      /more frames|missing/,
    ],
    [
      "counts what nobody could hold",
      () => json("head", (value) => ({ ...value, logs: Number.MAX_SAFE_INTEGER })),
      /begin/,
    ],
    [
      "says an impossible number of frames",
      () => json("log", (value) => ({ ...value, frames: Number.MAX_SAFE_INTEGER })),
      /./,
    ],
    ["lacks a frame", () => changed("frame", (bytes, at) => (at === 2 ? null : bytes)), /follow|missing/],
    [
      "has frames in another order",
      () =>
        changed("frame", (bytes, at) =>
          at === 2 ? [] : at === 3 ? [bytes, items.filter(({ kind }) => kind === "frame")[2]!.bytes] : bytes,
        ),
      /follow/,
    ],
    ["has a frame of a newer version", () => json("frame", (value) => ({ ...value, v: 2 })), /version 2.*update/],
    [
      "has a log of a newer version",
      () => json("log", (value) => ({ ...value, header: { ...(value.header as object), v: 2 } as Json })),
      /version 2.*update/,
    ],
    [
      "names a commit that it does not have",
      () =>
        json("log", (value) => ({
          ...value,
          header: { ...(value.header as object), meta: { x: `items:${"0".repeat(64)}` } } as Json,
        })),
      /follow|leads/,
    ],
    [
      "names a log by a path",
      () =>
        json("log", (value) => ({ ...value, header: { ...(value.header as object), id: "../../etc/passwd" } as Json })),
      /malformed/,
    ],
    [
      "starts a fork elsewhere",
      () =>
        json("log", (value, at) =>
          at === 0
            ? value
            : {
                ...value,
                header: {
                  ...(value.header as object),
                  origin: { ...(value.header as { origin: object }).origin, n: 0 },
                } as Json,
              },
        ),
      /./,
    ],
    [
      "has a scope for a log that is not there",
      () => json("scope", (value) => ({ ...value, log: "0".repeat(32) })),
      /scope/,
    ],
    [
      "has parts in another order",
      () => {
        const isLog = ({ kind }: Item): boolean => kind === "log" || kind === "frame";
        const [head, ...rest] = items.slice(0, -1);
        return fileOf([head!, ...rest.filter(isLog), ...rest.filter((item) => !isLog(item)), items.at(-1)!]);
      },
      /order/,
    ],
    ["has no end", () => fileOf(items.filter(({ kind }) => kind !== "tail")), /end is missing/],
  ])("%s", async (_how, file, said) => {
    expect(await refused(file())).toMatch(said);
  });

  test("grows when it is unpacked: it is given up as soon as that is clear, and a record that grows alone at once", async () => {
    const zeros = deflateRawSync(Buffer.alloc(64 << 20));
    const bomb = Buffer.concat([Buffer.from("shepherd run 1\n"), encodeRecord(Buffer.of(1), zeros)]);
    expect(await refused(bomb)).toMatch(/cannot be unpacked/);
    const block = Buffer.alloc(1 << 20);
    block[0] = ITEMS.indexOf("object");
    block.writeUInt32LE(block.length - 5, 1);
    const packed = deflateRawSync(block);
    expect(inflateRawSync(packed).length).toBe(block.length);
    const records = Array.from({ length: 380 }, () => encodeRecord(Buffer.of(1), packed));
    const many = Buffer.concat([Buffer.from("shepherd run 1\n"), ...records]);
    expect(() => {
      for (const _ of readBundle(sourceOf(many)));
    }).toThrow(/grows by more than 100 times/);
  });

  test("says nothing of what is in the store already", async () => {
    const own = await openStore(`${directory}/own`, { disk: fastDisk });
    await imported(own, whole);
    const other = json("frame", (value, at) => (at === 0 ? { ...value, witness: { at: 1 } } : value));
    await expect(planImport(own, sourceOf(other), { followers })).rejects.toThrow(BadBundle);
    await own.close();
  });
});
