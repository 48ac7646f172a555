import * as fs from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hostile, SENTENCE } from "../../test/support/hostile.ts";
import { memoryObjects } from "../../test/support/objects.ts";
import { params } from "../../test/support/runs.ts";
import { inTemporary, look, restorable } from "../../test/support/trees.ts";
import { capture } from "./capture.ts";
import { diffTrees } from "./diff.ts";
import { materialise } from "./materialise.ts";

describe("a state from outside", () => {
  it("is restored or refused with a sentence, whatever its objects name, and nothing is written elsewhere", async () => {
    await fc.assert(
      fc.asyncProperty(hostile, fc.boolean(), (make, partial) =>
        inTemporary(async (dir) => {
          const objects = memoryObjects();
          const whole = await make(objects);
          fs.mkdirSync(`${dir}/out`);
          fs.writeFileSync(`${dir}/out/f`, "untouched");
          const before = restorable(look(`${dir}/out`));
          for (const state of [{ tree: whole.tree }, whole]) {
            try {
              await materialise(`${dir}/work`, state, objects, { partial });
              // As a driver does, since who is not root may not read all of these.
              const again = await capture(`${dir}/work`, objects, { own: true });
              if (!partial) expect(again.tree).toBe(state.tree);
            } catch (error) {
              expect((error as Error).message).toMatch(SENTENCE);
            }
          }
          try {
            for await (const _ of diffTrees(objects, whole.vcs, whole.tree));
          } catch (error) {
            expect((error as Error).message).toMatch(SENTENCE);
          }
          expect(restorable(look(`${dir}/out`))).toEqual(before);
          expect(fs.readdirSync(dir).sort()).toEqual(["out", "work"]);
        }),
      ),
      params(3000, 150),
    );
  });
});
