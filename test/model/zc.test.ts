import fs from "node:fs";
import { it } from "vitest";
import { dice } from "./dice.ts";
import { pick } from "./guided.ts";
import { preludes } from "./preludes.ts";
import { probes } from "./probes.ts";
import { initial, step } from "./step.ts";

it("covers", () => {
  const N = Number(process.env.N ?? 20000);
  const ph = new Map<string, [number, string]>();
  const hits = new Map<string, [number, string]>();
  for (let s = 0; s < N; s++) {
    const seed = s * 104729 + 7;
    const d = dice(seed);
    let sys = initial({ a: 1, b: 2 });
    const pre = preludes[seed % preludes.length]!;
    for (let i = 0; i < pre.length + 40; i++) {
      const c = pre[i] ?? pick(sys, d);
      const [a, r] = step(sys, c);
      sys = a;
      const k = `${c.do} ${"ok" in r ? r.ok : `! ${r.refused}`}`;
      const h = hits.get(k) ?? [0, JSON.stringify(c)];
      h[0]++;
      hits.set(k, h as [number, string]);
      if (i === seed % 53)
        for (const c of probes(sys, d)) {
          const [, r] = step(sys, c);
          const k = `${c.do} ${"ok" in r ? r.ok : `! ${r.refused}`}`;
          const h = ph.get(k) ?? [0, JSON.stringify(c)];
          h[0]++;
          ph.set(k, h as [number, string]);
        }
    }
  }
  for (const [k, [n, c]] of ph) {
    const h = hits.get(k) ?? [0, c];
    h[0] += n;
    hits.set(k, h as [number, string]);
  }
  fs.writeFileSync(
    "/tmp/cov.txt",
    [...hits]
      .sort()
      .map(([k, [n, c]]) => `${n}\t${k}\t${c}`)
      .join("\n"),
  );
}, 900000);
