import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { it } from "vitest";
import { journey, shortest } from "./journey.ts";
import { load, mutants } from "./mutants.ts";

it("mutants", async () => {
  const only = process.env.M;
  for (const m of mutants) {
    if (only && !m.says.includes(only)) continue;
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), "mutant-"));
    try {
      const machine = await load(m, dir);
      let verdict: string | undefined;
      let i = 0;
      const t0 = process.cpuUsage().user;
      for (; i < 400 && !verdict; i++) {
        try {
          const j = journey(machine, i * 7919 + 13, 40, false);
          verdict = j.verdict;
          if (only && verdict)
            console.log(
              shortest(machine, j.commands)
                .commands.map((c) => JSON.stringify(c))
                .join("\n"),
            );
        } catch (e) {
          verdict = `THROWS ${e}`;
        }
      }
      console.log(
        `${verdict ? "caught" : "SURVIVED"} ${i} ${((process.cpuUsage().user - t0) / 1000).toFixed(0)}ms ${m.says} — ${verdict?.slice(0, 130)}`,
      );
    } catch (e) {
      console.log("ERR", m.says, String(e).slice(0, 200));
    }
    fs.rmSync(dir, { recursive: true });
  }
}, 600000);
