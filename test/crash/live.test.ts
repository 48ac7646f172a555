/** Kill -9 of a run that lands as it goes, while the user edits beside it. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { allEnded, expectSound, hasStaging, random } from "../support/crash.ts";
import { runs, seed } from "../support/runs.ts";
import { bash, newUser, until } from "../support/user.ts";

test("killed at any moment, no edit of the user's is lost, nothing of a landing stays, and the run goes on", async () => {
  const dice = random(seed + 7);
  const user = await newUser({ "a.txt": "1\n2\n3\n", "mine.txt": "mine\n" });
  const turns = Array.from({ length: 8 }, (_, i) => ({
    call: [bash(`for k in 1 2 3; do echo ${i} >> f$k.txt; done; echo ${i} >> a.txt`)],
  }));
  const script = user.script([...turns, { say: "the end" }]);
  let mine = user.read("mine.txt");
  try {
    for (let k = 0; k < runs(40, 4); k++) {
      const told = `seed ${seed}, ${k}`;
      const run = user.start(["run", "--scope", `r${k}`, "--land", "live", "--model", script, "go"]);
      // From then on it has a name by which it can be gone on with.
      await until(() => run.out.includes("run "), told);
      await sleep(dice() * 400);
      mine += `edit ${k}\n`;
      user.write({ "mine.txt": mine });
      await sleep(dice() * 600);
      run.process.kill("SIGKILL");
      await run.ended;
      await allEnded(user);
      await user.does(["status"]);
      expect(hasStaging(user), told).toBe(false);
      expect(user.read("mine.txt"), told).toBe(mine);
    }
    const last = `r${runs(40, 4) - 1}`;
    await user.does(["resume", last, "--land", "live"]);
    expect(user.read("mine.txt")).toBe(mine);
    expect((await user.does(["cat", `${last}@`, "a.txt"])).out).toBe(user.read("a.txt"));
    await expectSound(user);
  } finally {
    user.end();
  }
}, 600_000);
