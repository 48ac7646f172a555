import { expect, test } from "vitest";
import { tempStore } from "../../test/support/temp-store.ts";
import { createScope, NO_GRANTS } from "../scope/registry.ts";
import { attach } from "../scope/scope.ts";
import { encodeJson, link } from "../trace/bytes.ts";
import type { Json } from "../trace/ports.ts";
import { costsIn } from "./costs.ts";

test("tokens and money are summed by model; what was denied or stood on record costs nothing", async () => {
  const temp = await tempStore();
  try {
    const { store } = temp;
    const workspace = { path: temp.directory, id: "w" };
    await createScope(store, { name: "r", workspace, parent: null, origin: null, grants: NO_GRANTS });
    const scope = await attach(store, "r");
    const { writer } = scope;
    const call = async (
      model: string,
      at: number,
      outcome: object,
      witness: { [name: string]: Json },
    ): Promise<void> => {
      const what = link("json", await store.objects.put(encodeJson({ type: "request", v: 1, model })));
      const n = await writer.intent({ kind: "model", tier: "repeatable", what }, { witness: { at } });
      if (witness.again) await writer.part(n, { part: "attempt" });
      await writer.outcome(n, { status: "done", ...outcome }, { witness });
    };
    const usage = { input: 10, output: 5, cacheRead: 3, cacheWrite: 2 };
    await call("dear", 1000, { usage }, { cost: 0.1 });
    await call("dear", 2000, { usage }, { cost: 0.2, again: true });
    await call("free", 3000, { usage: { input: 1, output: 1 } }, {});
    await call("dear", 4000, { usage }, { recorded: true });
    await call("dear", 5000, { status: "denied" }, {});
    const costs = await costsIn(store, writer.fold);
    expect(Object.fromEntries(costs)).toEqual({
      dear: { calls: 3, input: 20, output: 10, cacheRead: 6, cacheWrite: 4, usd: 0.3, unpriced: 0 },
      free: { calls: 1, input: 1, output: 1, cacheRead: 0, cacheWrite: 0, usd: 0, unpriced: 1 },
    });
    expect((await costsIn(store, writer.fold, 2000)).get("dear")).toMatchObject({ calls: 2, usd: 0.2 });
    await scope.close();
  } finally {
    await temp.end();
  }
});
