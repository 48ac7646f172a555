import * as fs from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryObjects } from "../../test/support/objects.ts";
import { params } from "../../test/support/runs.ts";
import { inTemporary, program, run, settle } from "../../test/support/trees.ts";
import { capture } from "./capture.ts";
import { materialise } from "./materialise.ts";
import { emptyCache } from "./statcache.ts";
import { decodeCache, encodeCache } from "./statfile.ts";

/** Everything in a directory, itself too, by its path (latin1). */
function* entries(at: Buffer, path = ""): Generator<[string, Buffer]> {
  yield [path, at];
  if (!fs.lstatSync(at).isDirectory()) return;
  for (const name of fs.readdirSync(at, "buffer").sort(Buffer.compare))
    yield* entries(Buffer.concat([at, Buffer.from("/"), name]), `${path}/${name.toString("latin1")}`);
}
const ownersOf = (dir: string) =>
  [...entries(Buffer.from(dir))].map(([path, at]) => {
    const { uid, gid, mode } = fs.lstatSync(at);
    return [path, uid, gid, mode];
  });
/** Gives each entry one of these owners, and leaves its mode. */
function give(dir: string, ids: readonly number[]): void {
  for (const [i, [, at]] of [...entries(Buffer.from(dir))].entries()) {
    const { mode } = fs.lstatSync(at);
    fs.lchownSync(at, ids[i % ids.length]!, ids[(i + 1) % ids.length]!);
    if ((mode & 0o170000) !== 0o120000) fs.chmodSync(at, mode & 0o7777);
  }
}
const ids = fc.array(fc.constantFrom(0, 1, 1000, 70_000), { minLength: 1, maxLength: 7 });

describe.runIf(process.getuid?.() === 0)("who owns what", () => {
  it("is restored with the rest, into a new directory and over others, from what is known and from what is not", async () => {
    await fc.assert(
      fc.asyncProperty(program(12), ids, ids, fc.boolean(), (ops, first, second, later) =>
        inTemporary(async (dir) => {
          const [here, there, objects] = [`${dir}/here`, `${dir}/there`, memoryObjects()];
          fs.mkdirSync(here);
          run(here, ops);
          give(here, first);
          let known = emptyCache();
          const one = await capture(here, objects, { owners: true, cache: known });
          const before = ownersOf(here);
          if (later) await settle();
          known = decodeCache(encodeCache(known));
          give(here, second);
          const two = await capture(here, objects, { owners: true, cache: known });
          expect(two.tree).toBe(one.tree);
          const after = ownersOf(here);
          const cache = emptyCache();
          for (const [state, owners] of [
            [one, before],
            [two, after],
            [one, before],
          ] as const) {
            await materialise(there, state, objects, { owners: true, cache });
            expect(ownersOf(there)).toEqual(owners);
            const again = await capture(there, objects, { owners: true, cache });
            expect([again.tree, again.mtimes]).toEqual([state.tree, state.mtimes]);
          }
          // Who does not ask for it gets files of their own.
          await materialise(`${dir}/own`, two, objects);
          expect(new Set(ownersOf(`${dir}/own`).flatMap(([, uid, gid]) => [uid, gid]))).toEqual(new Set([0]));
        }),
      ),
      params(200, 25),
    );
  });
});
