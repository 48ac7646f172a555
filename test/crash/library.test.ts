/** Kill -9 of a program whose agent has a code body: before each frame that it writes, and at random moments. It comes to the same result. */
import * as fs from "node:fs";
import { dirname, join, resolve } from "node:path";
import { afterEach, beforeAll, expect, test } from "vitest";
import { built } from "../support/built.ts";
import { random } from "../support/crash.ts";
import { untilKilled } from "../support/killed.ts";
import { type LibraryRig, libraryRig } from "../support/library-rig.ts";
import { long, runs, seed } from "../support/runs.ts";

const CHILD = resolve(import.meta.dirname, "../support/library-child.mjs");
let index: string;
let expected: { result: unknown; frames: number };
let lasts: number;

interface Entry {
  did?: string;
  undid?: string;
  key: string;
}

const rigs: LibraryRig[] = [];
afterEach(() => {
  for (const rig of rigs.splice(0)) rig.end();
});
const begin = (): LibraryRig => {
  const rig = libraryRig();
  rigs.push(rig);
  return rig;
};

/** Runs the program once; null where it was killed: by itself before frame `at`, or after `ms`. */
const once = (
  { directory }: LibraryRig,
  at = 0,
  ms?: number,
  env: { [name: string]: string } = {},
): Promise<typeof expected | null> => untilKilled([CHILD, index, directory, String(at)], { ms, env });

/** Each effect acted as its tier says. */
function expectActed({ directory }: LibraryRig): void {
  const ledger = fs
    .readFileSync(join(directory, "ledger"), "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Entry);
  const stands = new Map<string, number>();
  const over = new Set<string>();
  for (const { did, undid, key } of ledger) {
    const before = stands.get(key) ?? 0;
    if (undid !== undefined) {
      stands.set(key, 0);
      over.add(key);
    } else if (did === "pay" || did === "mail") {
      stands.set(key, before + 1);
      // What was taken back is done anew, and not as if it still stood.
      expect(over.has(key)).toBe(false);
    }
  }
  // Nothing stands twice, and nothing is missing: 5 payments and 2 messages.
  expect([...stands].filter(([key]) => !over.has(key)).map(([, times]) => times)).toEqual([1, 1, 1, 1, 1, 1, 1]);
  const mails = ledger.filter(({ did }) => did === "mail");
  expect(mails).toHaveLength(2);
  expect(new Set(ledger.filter(({ did }) => did === "look").map(({ key }) => key)).size).toBe(9);
}

beforeAll(async () => {
  index = join(dirname(await built()), "index.js");
  const rig = begin();
  const began = performance.now();
  expected = (await once(rig))!;
  lasts = performance.now() - began;
  expectActed(rig);
  expect(expected.frames).toBeGreaterThan(60);
});

test("killed before a frame is written, whichever it is, and resumed", async () => {
  const dice = random(seed);
  const all = Array.from({ length: expected.frames }, (_, k) => k + 1);
  const chosen = long ? all : all.filter(() => dice() < 3 / all.length);
  for (const at of chosen) {
    const rig = begin();
    expect(await once(rig, at)).toBe(null);
    const done = await once(rig);
    expect({ at, result: done!.result }).toEqual({ at, result: expected.result });
    expectActed(rig);
    rig.end();
  }
});

test("killed at random moments, as often as it likes", async () => {
  const dice = random(seed + 1);
  for (let k = 0; k < runs(200, 1); k++) {
    const rig = begin();
    let done: typeof expected | null = null;
    for (let tries = 0; !done && tries < 3; tries++) done = await once(rig, 0, dice() * lasts);
    done ??= await once(rig);
    expect(done!.result).toEqual(expected.result);
    expectActed(rig);
    rig.end();
  }
});

test("what may have acted waits for a word: a payment of an agent that was called is taken back first, a message is not", async () => {
  const rig = begin();
  expect(await once(rig, 0, undefined, { DIES_IN: "pay" })).toBe(null);
  const [name, run, effects, hint] = (await once(rig, 0, undefined, { ASKS: "1" }))!.result as [
    string,
    string,
    unknown,
    boolean,
  ];
  expect([name, hint]).toEqual(["InDoubt", true]);
  expect(run).toMatch(/^ship\.[12]$/);
  expect(effects).toEqual([{ n: expect.any(Number), tier: "compensable", compensated: true }]);
  expect(await once(rig, 0, undefined, { DIES_IN: "mail" })).toBe(null);
  const asked = (await once(rig, 0, undefined, { ASKS: "1" }))!.result as unknown[];
  expect(asked.slice(0, 3)).toEqual([
    "InDoubt",
    "ship",
    [{ n: expect.any(Number), tier: "irreversible", compensated: false }],
  ]);
  expect((await once(rig))!.result).toEqual(expected.result);
  expectActed(rig);
});
