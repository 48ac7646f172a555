/** States that no capture gives: objects of every kind that name each other at random, also where that makes no sense. */
import fc from "fast-check";
import { type Hash, MAX_OBJECT, type Objects } from "../../src/trace/ports.ts";
import { encodeChunks } from "../../src/world/content.ts";
import { writeMtimes } from "../../src/world/mtimes.ts";
import { type EntryType, writeTree } from "../../src/world/tree.ts";

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

export interface HostileState {
  tree: Hash;
  mtimes: Hash;
  vcs: Hash;
  vcsMtimes: Hash;
}

/** Puts the objects of such a state and gives their ids. */
export const hostile: fc.Arbitrary<(objects: Objects) => Promise<HostileState>> = fc
  .tuple(fc.array(made, { minLength: 1, maxLength: 8 }), fc.array(fc.nat(), { minLength: 4, maxLength: 4 }))
  .map(([pool, roots]) => async (objects) => {
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
    return { tree: tree!, mtimes: mtimes!, vcs: vcs!, vcsMtimes: vcsMtimes! };
  });

/** What a refusal looks like: one sentence. */
export const SENTENCE = /^[^\n]{10,}\.$/;
