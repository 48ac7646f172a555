import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryObjects } from "../../test/support/objects.ts";
import { params } from "../../test/support/runs.ts";
import { inTemporary, look, program, run, type Seen } from "../../test/support/trees.ts";
import { capture } from "./capture.ts";
import { type Change, diffTrees } from "./diff.ts";
import { joinPath, quotePath, unquotePath } from "./paths.ts";
import { writeTree } from "./tree.ts";

/** What differs between two looks at a directory, in words. */
function differences(a: ReadonlyMap<string, Seen>, b: ReadonlyMap<string, Seen>): string[] {
  const found: string[] = [];
  // Everything that is named .git is gone into `vcs`.
  const isGit = (path: string, seen: ReadonlyMap<string, Seen>): boolean => {
    const names = path.split("/");
    return names.some((name, i) => name === ".git" && seen.get(names.slice(0, i + 1).join("/"))?.type === "dir");
  };
  for (const path of new Set([...a.keys(), ...b.keys()])) {
    const before = isGit(path, a) ? undefined : a.get(path);
    const after = isGit(path, b) ? undefined : b.get(path);
    if (!before && !after) continue;
    if (!before) found.push(`added ${path}`);
    else if (!after) found.push(`deleted ${path}`);
    else if (before.type !== after.type) found.push(`type ${path}`);
    else if (before.bytes !== after.bytes) found.push(`modified ${path}`);
    else if (before.mode !== after.mode) found.push(`mode ${path}`);
  }
  return found.sort();
}

const collect = async (changes: AsyncIterable<Change>): Promise<Change[]> => {
  const all: Change[] = [];
  for await (const change of changes) all.push(change);
  return all;
};

describe("diff", () => {
  it("tells exactly what differs between two trees", async () => {
    await fc.assert(
      fc.asyncProperty(program(15), program(6), (ops, more) =>
        inTemporary(async (dir) => {
          const objects = memoryObjects();
          run(dir, ops);
          const [a, before] = [(await capture(dir, objects)).tree, look(dir)];
          run(dir, more);
          const [b, after] = [(await capture(dir, objects)).tree, look(dir)];
          const changes = await collect(diffTrees(objects, a, b));
          expect(changes.map(({ kind, path }) => `${kind} ${path.toString("latin1")}`).sort()).toEqual(
            differences(before, after),
          );
          for (const { kind, before: x, after: y, path } of changes) {
            expect([x !== undefined, y !== undefined]).toEqual([kind !== "added", kind !== "deleted"]);
            if (x && x.type !== "l") expect(x.mode).toBe(before.get(path.toString("latin1"))!.mode);
            if (y && y.type !== "l") expect(y.mode).toBe(after.get(path.toString("latin1"))!.mode);
          }
          const all = await collect(diffTrees(objects, null, b));
          expect(all.every(({ kind }) => kind === "added")).toBe(true);
          expect(await collect(diffTrees(objects, b, b))).toEqual([]);
          expect(await collect(diffTrees(objects, null, null))).toEqual([]);
        }),
      ),
      params(400, 25),
    );
  });

  it("looks only into what has another id, and goes deep without a deep stack", async () => {
    const objects = memoryObjects();
    const deep = async (bottom: string): Promise<string> => {
      let id = await writeTree(objects, {
        mode: 0o755,
        entries: [{ type: "f", mode: 0o644, name: Buffer.from("f"), id: await objects.put(Buffer.from(bottom)) }],
      });
      for (let i = 0; i < 5000; i++)
        id = await writeTree(objects, { mode: 0o755, entries: [{ type: "d", mode: 0, name: Buffer.from("d"), id }] });
      return id;
    };
    const same = "00".repeat(32);
    const beside = async (id: string): Promise<string> =>
      writeTree(objects, {
        mode: 0o755,
        entries: [
          { type: "d", mode: 0, name: Buffer.from("deep"), id },
          // Nothing holds this tree, and nobody asks for it.
          { type: "d", mode: 0, name: Buffer.from("same"), id: same },
        ],
      });
    const changes = await collect(diffTrees(objects, await beside(await deep("1")), await beside(await deep("2"))));
    expect(changes).toHaveLength(1);
    expect(changes[0]).toMatchObject({ kind: "modified" });
    expect(changes[0]!.path.length).toBe("deep/".length + 5000 * 2 + 1);
  });
});

describe("a path for people", () => {
  it("is itself where it is harmless, quoted as in C where it is not", () => {
    for (const [path, shown] of [
      ["src/a b.ts", "src/a b.ts"],
      ["é/日本", "é/日本"],
      ["", ""],
      ["new\nline", '"new\\nline"'],
      ['quo"te', '"quo\\"te"'],
      ["back\\slash", '"back\\\\slash"'],
      ["esc\x1b[31m", '"esc\\033[31m"'],
      ["\u202egnp.exe", '"\\342\\200\\256gnp.exe"'],
      ["é\x07", '"é\\a"'],
    ])
      expect(quotePath(Buffer.from(path!))).toBe(shown);
    expect(quotePath(Buffer.from([0x61, 0xff, 0xc3]))).toBe('"a\\377\\303"');
    expect(quotePath(Buffer.from("\ufffd"))).toBe("\ufffd");
  });

  it("gives the bytes back, whatever they are, and has nothing that harms", () => {
    const text = fc.string({ unit: "binary" }).map((each) => Buffer.from(each));
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array().map((bytes) => Buffer.from(bytes)),
          text,
        ),
        (path) => {
          const shown = quotePath(path);
          expect(unquotePath(shown).equals(path)).toBe(true);
          expect(shown).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
        },
      ),
      params(5000, 300),
    );
  });

  it("that is quoted wrongly is refused with a sentence", () => {
    for (const text of ['"', '"a', '"a\\', '"\\x"', '"\\400"', '"a"b', '"\\"'])
      expect(() => unquotePath(text)).toThrow(/^The path .*\.$/s);
  });

  it("is put together from names", () => {
    expect(joinPath(Buffer.alloc(0), Buffer.from("a")).toString()).toBe("a");
    expect(joinPath(Buffer.from("a/b"), Buffer.from([0xff]))).toEqual(Buffer.from([0x61, 0x2f, 0x62, 0x2f, 0xff]));
  });
});
