/** Kill -9 of a run's owner, of what makes and holds its sandbox, of what waits for a command in it, and of the command. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { detect } from "../../src/scope/exec/abilities.ts";
import { processTable, send } from "../../src/scope/exec/table.ts";
import { allEnded, expectKept, expectSound, printedRows, random, stepsOf } from "../support/crash.ts";
import { runs, seed } from "../support/runs.ts";
import { bash, newUser, until } from "../support/user.ts";

const { samePath, helper } = await detect();
const makers = helper ? ["the helper", "programs of the host"] : ["programs of the host"];

const words = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ");
  } catch {
    return "";
  }
};

/** The owner, what it has started to make its sandbox, the first process of that, what waits for a command in it, and that; of what there is. */
function victims(owner: number): number[] {
  const table = processTable();
  const children = table.filter(({ parent }) => parent === owner).map(({ pid }) => pid);
  const makers = children.filter((pid) => / serve |unshare/.test(words(pid)));
  const first = table.filter(({ parent }) => makers.includes(parent)).map(({ pid }) => pid);
  const waiting = children.filter((pid) => / enter |nsenter/.test(words(pid)));
  const commands = table.filter(({ parent }) => waiting.includes(parent)).map(({ pid }) => pid);
  return [owner, ...makers, ...first, ...waiting, ...commands];
}

test.skipIf(!samePath).each(makers)(
  "killed at any moment, the run ends with a sentence, leaves nothing, and goes on, made by %s",
  async (maker) => {
    const dice = random(seed + makers.indexOf(maker));
    const user = await newUser();
    if (maker !== "the helper") user.env.SHEPHERD_NO_HELPER = "1";
    const turns = Array.from({ length: 6 }, (_, i) => ({
      call: [bash(`echo ${i} >> f; (sleep 100 &) ; sleep 0.1; echo ${i} >> g`)],
    }));
    const script = user.script([...turns, { say: "the end" }]);
    try {
      for (let k = 0; k < runs(60, 3); k++) {
        const told = `seed ${seed}, ${k}`;
        const name = `r${k}`;
        const run = user.start(["run", "--scope", name, "--model", script, "go", "--json"]);
        await until(() => run.out.includes(`"kind":"run"`), told);
        await until(() => victims(run.process.pid!).length > 1, told);
        await sleep(dice() * 700);
        const found = victims(run.process.pid!);
        const victim = found[Math.floor(dice() * found.length)];
        if (victim !== undefined) send(victim, "SIGKILL");
        const done = await run.ended;
        const seen = printedRows(done.out);
        if (done.signal !== "SIGKILL") expect([0, 1], told).toContain(done.code);
        if (done.code === 1) expect(done.out + done.err, told).toMatch(/[\w`]\.["\n]/);
        expect(done.err, told).not.toMatch(/^\s+at |\bE[A-Z]{3,}\b/m);
        await allEnded(user);
        expectKept(seen, await stepsOf(user, name));
        if (done.code !== 0) await user.does(["resume", name]);
        const said = (await user.does(["log", name])).out;
        expect(said, told).toContain("the end");
      }
      await expectSound(user);
    } finally {
      user.end();
    }
  },
  600_000,
);
