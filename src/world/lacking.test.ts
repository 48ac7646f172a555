import { expect, test } from "vitest";
import { memoryObjects } from "../../test/support/objects.ts";
import { findLacking, keepLacking } from "./lacking.ts";
import { type Entry, readTree, writeTree } from "./tree.ts";

const objects = memoryObjects();
const file = async (name: string, text: string): Promise<Entry> => ({
  type: "f",
  mode: 0o644,
  name: Buffer.from(name),
  id: await objects.put(Buffer.from(text)),
});
const dir = async (name: string, ...entries: Entry[]): Promise<Entry> => ({
  type: "d",
  mode: 0,
  name: Buffer.from(name),
  id: await writeTree(objects, { mode: 0o755, entries }),
});

test("what a restore left out is in what is captured from it, unless something else stands there, or its directory went", async () => {
  const [a, b, c, d] = [await file("a", "1"), await file("b", "2"), await file("c", "3"), await file("d", "4")];
  const was = await dir("", a, await dir("sub", b, c), await dir("gone", d));
  const gone = new Set([a.id, b.id, d.id]);
  const paths = await findLacking(objects, was.id, async (id) => gone.has(id));
  expect(paths.map(String)).toEqual(["a", "gone/d", "sub/b"]);

  const untouched = await dir("", await dir("sub", c), await dir("gone"));
  expect(await keepLacking(objects, untouched.id, was.id, paths)).toBe(was.id);

  const other = await file("a", "mine");
  const worked = await dir("", other, await dir("sub", c));
  const { entries } = await readTree(objects, await keepLacking(objects, worked.id, was.id, paths));
  expect(entries).toEqual([other, await dir("sub", b, c)]);
});
