import { it } from "vitest";
import { dice, pick } from "/work/main/test/model/guided.ts";
import { initial, step } from "/work/main/test/model/step.ts";

it("covers", () => {
  const N = Number(process.env.N ?? 300);
  const hits = new Map<string, number>();
  const t0 = Date.now();
  let steps = 0;
  for (let i = 0; i < N; i++) {
    const d = dice(i * 7919 + 13);
    let sys = initial({ a: 1, b: 2 });
    const log: string[] = [];
    try {
      for (let j = 0; j < 40; j++) {
        const c = pick(sys, d);
        log.push(JSON.stringify(c));
        const [a, r] = step(sys, c);
        sys = a;
        steps++;
        const k = `${c.do}: ${"ok" in r ? "+" + r.ok : r.refused}`;
        hits.set(k, (hits.get(k) ?? 0) + 1);
      }
    } catch (e) {
      console.log(log.slice(-12).join("\n"));
      throw e;
    }
  }
  console.log(
    [...hits]
      .sort()
      .map(([k, n]) => `${k} ${n}`)
      .join("\n"),
  );
  console.log(steps, Date.now() - t0, "ms");
});
