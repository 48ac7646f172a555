import { it } from "vitest";
import { journey } from "./journey.ts";
import * as m from "./step.ts";

it("laws", () => {
  const N = Number(process.env.N ?? 300);
  const t0 = Date.now();
  const bad = new Map<string, number>();
  const hits = new Map<string, number>();
  for (let i = 0; i < N; i++) {
    const j = journey(m, i * 7919 + 13, 40);
    for (const h of j.hits) hits.set(h, (hits.get(h) ?? 0) + 1);
    if (j.verdict) {
      const k = j.verdict.split(":")[0]!;
      if (!bad.has(k)) {
        console.log(
          j.verdict,
          "\n  " +
            j.commands
              .map((c, i) => JSON.stringify(c) + "  " + j.hits[i])
              .slice(-14)
              .join("\n  "),
        );
      }
      bad.set(k, (bad.get(k) ?? 0) + 1);
    }
  }
  console.log([...bad], Date.now() - t0, "ms", process.cpuUsage().user / 1000, "cpu");
  console.log(
    [...hits]
      .sort()
      .map(([k, n]) => `${k} ${n}`)
      .join(" | "),
  );
});
