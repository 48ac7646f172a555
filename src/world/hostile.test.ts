import * as fs from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryObjects } from "../../test/support/objects.ts";
import { params } from "../../test/support/runs.ts";
import { inTemporary, look, restorable } from "../../test/support/trees.ts";
import { MAX_OBJECT } from "../trace/ports.ts";
import { capture } from "./capture.ts";
import { encodeChunks } from "./content.ts";
import { diffTrees } from "./diff.ts";
import { materialise } from "./materialise.ts";
import { writeMtimes } from "./mtimes.ts";
import { type EntryType, writeTree } from "./tree.ts";

const name = fc.constantFrom("a", "b", ".git", "out", "..a", "x\ny", "\xff", "n".repeat(255), "n".repeat(300), "C:");
/** An object that names others made before it, of whatever kind these are. */
const made = fc.oneof(
  fc.record({
    kind: fc.constant("blob" as const),
    text: fc.constantFrom("", "../out", "/etc/passwd", "\0", "x", "../out/f"),
  }),
  fc.record({
    kind: fc.constantFrom("tree" as const, "tree" as const, "mtimes" as const, "chunks" as const),
    mode: fc.constantFrom(0o755, 0o644, 0o7777, 0),
    entries: fc.uniqueArray(
      fc.record({ name, type: fc.constantFrom<EntryType>("f", "F", "l", "d", "d"), to: fc.nat() }),
      {
        maxLength: 3,
        selector: ({ name }) => name,
      },
    ),
  }),
);

describe("a state from outside", () => {
  it("is restored or refused with a sentence, whatever its objects name, and nothing is written elsewhere", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(made, { minLength: 1, maxLength: 8 }),
        fc.array(fc.nat(), { minLength: 4, maxLength: 4 }),
        fc.boolean(),
        (pool, roots, partial) =>
          inTemporary(async (dir) => {
            const objects = memoryObjects();
            const ids: string[] = [await objects.put(Buffer.alloc(0)), "00".repeat(32)];
            for (const each of pool) {
              const at = (to: number): string => ids[ids.length - 1 - (to % ids.length)]!;
              if (each.kind === "blob") ids.push(await objects.put(Buffer.from(each.text, "latin1")));
              else if (each.kind === "chunks")
                ids.push(await objects.put(encodeChunks(MAX_OBJECT + 1, [at(each.mode), at(each.mode + 1)])));
              else if (each.kind === "tree") {
                const entries = each.entries.map(({ name, type, to }) => ({
                  type,
                  mode: type === "f" || type === "F" ? each.mode : 0,
                  name: Buffer.from(name, "latin1"),
                  id: at(to),
                }));
                ids.push(await writeTree(objects, { mode: each.mode, entries }));
              } else {
                const entries = each.entries
                  .map(({ name, type, to }) =>
                    type === "d"
                      ? { type, name: Buffer.from(name, "latin1"), id: at(to) }
                      : { type: "f" as const, name: Buffer.from(name, "latin1"), ns: BigInt(to) * -(10n ** 9n) },
                  )
                  .sort((a, b) => Buffer.compare(a.name, b.name));
                ids.push(await writeMtimes(objects, { own: 1n, entries }));
              }
            }
            const [tree, mtimes, vcs, vcsMtimes] = roots.map((root) => ids[ids.length - 1 - (root % ids.length)]!);
            fs.mkdirSync(`${dir}/out`);
            fs.writeFileSync(`${dir}/out/f`, "untouched");
            const before = restorable(look(`${dir}/out`));
            for (const state of [{ tree: tree! }, { tree: tree!, mtimes, vcs, vcsMtimes }]) {
              try {
                await materialise(`${dir}/work`, state, objects, { partial });
                const again = await capture(`${dir}/work`, objects);
                if (!partial) expect(again.tree).toBe(tree);
              } catch (error) {
                expect((error as Error).message).toMatch(/^[^\n]{10,}\.$/);
              }
            }
            try {
              for await (const _ of diffTrees(objects, vcs!, tree!));
            } catch (error) {
              expect((error as Error).message).toMatch(/^[^\n]{10,}\.$/);
            }
            expect(restorable(look(`${dir}/out`))).toEqual(before);
            expect(fs.readdirSync(dir).sort()).toEqual(["out", "work"]);
          }),
      ),
      params(3000, 150),
    );
  });
});
