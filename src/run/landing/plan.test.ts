import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Dir, dir, file, linkTo, put, trees } from "../../../test/support/landing.ts";
import { memoryObjects } from "../../../test/support/objects.ts";
import { params } from "../../../test/support/runs.ts";
import { linksIn } from "../../trace/bytes.ts";
import { writeTree } from "../../world/tree.ts";
import { type Change, invert, planLanding } from "./plan.ts";
import { loadPlan, storePlan } from "./record.ts";

const plan = async (from: Dir, to: Dir) => {
  const objects = memoryObjects();
  return planLanding(objects, await put(objects, from), await put(objects, to));
};
const lines = (changes: readonly Change[]) =>
  changes.map(({ path, expected, next }) => {
    const side = (each: Change["next"]) =>
      each ? each.type + (each.type === "l" ? "" : ` ${each.mode.toString(8)}`) : "-";
    return `${path.toString("latin1")}: ${side(expected)} > ${side(next)}`;
  });

describe("a plan", () => {
  test("makes a directory before what comes into it, and removes it after what was in it", async () => {
    const { changes } = await plan(
      dir({ gone: dir({ a: file("1"), b: dir({ c: linkTo("x") }) }), swap: dir({ in: file("1") }), turn: file("1") }),
      dir({ come: dir({ a: file("1"), b: dir({ c: linkTo("x") }) }), swap: file("2"), turn: dir({ in: file("2") }) }),
    );
    expect(lines(changes)).toEqual([
      "gone/a: f 644 > -",
      "gone/b/c: l > -",
      "gone/b: d 755 > -",
      "gone: d 755 > -",
      "come: - > d 755",
      "come/a: - > f 644",
      "come/b: - > d 755",
      "come/b/c: - > l",
      "swap/in: f 644 > -",
      "swap: d 755 > f 644",
      "turn: f 644 > d 755",
      "turn/in: - > f 644",
    ]);
  });

  test("makes a directory writable for as long as it takes", async () => {
    const { changes } = await plan(
      dir({ a: dir({ x: file("1") }, 0o555), b: dir({ x: file("1") }, 0o500), d: dir({ x: file("1") }, 0o755) }),
      dir({ a: dir({ x: file("2") }, 0o555), c: dir({ x: file("1") }, 0o111), d: dir({ x: file("1") }, 0o700) }),
    );
    expect(lines(changes)).toEqual([
      "b: d 500 > d 700",
      "b/x: f 644 > -",
      "b: d 700 > -",
      "a: d 555 > d 755",
      "a/x: f 644 > f 644",
      "a: d 755 > d 555",
      "c: - > d 711",
      "c/x: - > f 644",
      "c: d 711 > d 111",
      "d: d 755 > d 700",
    ]);
  });

  test("names nothing called .git, however it is written, and nothing of landings", async () => {
    const names = [".git", ".GIT", ".git ", ".git.", "git~1", ".g\xe2\x80\x8cit", ".shepherd-landing-1"];
    const kept = [".gitignore", "git", ".git2", "x.git"];
    const all = (text: string) => dir(Object.fromEntries([...names, ...kept].map((name) => [name, file(text)])));
    const { changes, refused } = await plan(dir({ sub: all("1") }), dir({ ...all("1").in, sub: all("2") }));
    expect(refused.map(({ path }) => path.toString("latin1")).sort()).toEqual(
      [...names, ...names.slice(0, -1).map((name) => `sub/${name}`)].sort(),
    );
    expect(changes.map(({ path }) => path.toString("latin1")).sort()).toEqual(
      [...kept, ...kept.map((name) => `sub/${name}`), "sub/.shepherd-landing-1"].sort(),
    );
  });

  test("is nothing for the same tree, and its inverse is the plan of the way back", async () => {
    await fc.assert(
      fc.asyncProperty(trees, trees, async (from, to) => {
        expect((await plan(from, from)).changes).toEqual([]);
        const there = (await plan(from, to)).changes;
        const back = (await plan(to, from)).changes;
        expect(lines(invert(there)).sort()).toEqual(lines(back).sort());
        expect(invert(invert(there))).toEqual(there);
      }),
      params(500),
    );
  });

  test("comes back from the store as it was, with a link for every content", async () => {
    const objects = memoryObjects();
    await fc.assert(
      fc.asyncProperty(trees, trees, async (from, to) => {
        const { changes } = await planLanding(objects, await put(objects, from), await put(objects, to));
        const stored = await storePlan(objects, changes);
        expect(await loadPlan(objects, stored)).toEqual(changes);
      }),
      params(200),
    );
  });

  test("of any size can be stored", async () => {
    const objects = memoryObjects();
    const id = await objects.put(Buffer.from("x"));
    const entries = Array.from({ length: 30_000 }, (_, n) => ({
      type: "f" as const,
      mode: 0o644,
      name: Buffer.from(`\xff\n${n}`, "latin1"),
      id,
    }));
    const empty = await writeTree(objects, { mode: 0o755, entries: [] });
    const { changes } = await planLanding(objects, empty, await writeTree(objects, { mode: 0o755, entries }));
    const stored = await storePlan(objects, changes);
    expect(await loadPlan(objects, stored)).toEqual(changes);
    const head = JSON.parse(Buffer.from(objects.map.get(stored.slice(5))!).toString());
    const pieces = [...linksIn(head)];
    expect(pieces.length).toBeGreaterThan(1);
    expect([...linksIn(JSON.parse(Buffer.from(objects.map.get(pieces[0]!.slice(5))!).toString()))][0]).toBe(
      `blob:${id}`,
    );
  });
});
