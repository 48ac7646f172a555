import { expect, it } from "vitest";
import { runs, seed } from "../support/runs.ts";
import { shortest, trial } from "./runtime/trial.ts";

const count = Number(process.env.TRIALS ?? runs(3000, 150));
const most = Number(process.env.MOST ?? 1);
it("does", async () => {
  const t0 = performance.now();
  let n = 0;
  const hits = new Map<string, number>();
  const wrong: string[] = [];
  for (let i = 0; i < count && wrong.length < most; i++) {
    const t = await trial(seed + i, 25);
    n += t.commands.length;
    for (const h of t.hits) hits.set(h, (hits.get(h) ?? 0) + 1);
    if (t.difference) {
      const s = await shortest(t);
      wrong.push(`seed ${seed + i}\n${s.commands.map((c) => JSON.stringify(c)).join("\n")}\n${s.difference}`);
    }
  }
  console.log(count, n, performance.now() - t0, JSON.stringify(Object.fromEntries([...hits].sort())));
  expect(wrong.join("\n\n")).toBe("");
}, 600_000);
