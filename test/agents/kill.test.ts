/** Kill -9 of the CLI, of a hook or of the owner at random moments: no call ran unrecorded, and the run comes to the same end. */
import * as fs from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Wire } from "../support/provider.ts";
import { runs, seed } from "../support/runs.ts";
import { randomFrom } from "../support/simdisk.ts";
import { writtenIn } from "../support/work.ts";
import { claudeRig, type Rig } from "./claude-rig.ts";

const CALLS = 5;

/** Each call appends one line, and leaves a witness of its own. */
function script(rig: Rig): void {
  rig.script = Array.from({ length: CALLS }, (_, k) => ({
    say: `Call ${k}.`,
    call: [
      ["Bash", { command: `touch witness-${k}; echo ${k} >> lines.txt`, description: "append" }] as [string, object],
    ],
  }));
}

interface Proc {
  pid: number;
  parent: number;
  command: string;
}

function processes(): Proc[] {
  const found: Proc[] = [];
  for (const name of fs.readdirSync("/proc"))
    if (/^\d+$/.test(name))
      try {
        const stat = fs.readFileSync(`/proc/${name}/stat`, "utf8");
        const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
        const command = fs.readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ");
        found.push({ pid: Number(name), parent, command });
      } catch {}
  return found;
}

function below(root: number): Proc[] {
  const all = processes();
  const found: Proc[] = [];
  for (let next = [root]; next.length > 0; ) {
    const children = all.filter(({ parent }) => next.includes(parent));
    found.push(...children);
    next = children.map(({ pid }) => pid);
  }
  return found;
}

const callOf = ({ summary }: Wire): string | undefined => /witness-(\d)/.exec(summary)?.[1];

const KINDS = ["owner", "cli", "hook"] as const;

test.each(Array.from({ length: runs(200, 9) }, (_, i) => i))("kill %i", async (i) => {
  const random = randomFrom(seed + i);
  const rig = await claudeRig();
  try {
    script(rig);
    await rig.shepherd("init");
    const child = rig.start("run", "claude", "append", "--scope", "it");
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    const kind = KINDS[i % KINDS.length]!;
    const at = 400 + random() * 1400;
    const began = performance.now();
    let victim = 0;
    while (child.exitCode === null && child.signalCode === null) {
      await sleep(5);
      if (performance.now() - began < at) continue;
      const found = below(child.pid!);
      const cli = found.find(({ command }) => /^\S*claude\S* -p /.test(command));
      const hook = found.find(({ command }) => command.startsWith("bash -c LC_ALL=C"));
      victim = kind === "owner" ? child.pid! : ((kind === "hook" ? hook : cli)?.pid ?? 0);
      if (!victim) continue;
      try {
        process.kill(victim, "SIGKILL");
      } catch {}
      break;
    }
    const late = sleep(40_000, "late", { ref: false });
    if ((await Promise.race([ended, late])) === "late") {
      const tree = below(child.pid!).map(({ pid, command }) => `${pid} ${command.slice(0, 120)}`);
      const rows = (await rig.log("it")).map((row) => `${row.n} ${row.kind} ${row.status} ${row.summary.slice(0, 60)}`);
      child.kill("SIGKILL");
      expect.fail(`${kind} ${victim} at ${at}: it does not end\n${tree.join("\n")}\n${rows.join("\n")}`);
    }

    // Whatever ran has its step.
    const world = writtenIn(rig.store);
    const ran = world.flatMap((path) => fs.readdirSync(path)).flatMap((name) => /^witness-(\d)$/.exec(name)?.[1] ?? []);
    const rows = await rig.log("it");
    const recorded = rows.filter(({ kind }) => kind === "tool").map(callOf);
    for (const k of ran) expect(recorded, `${kind} at ${at}`).toContain(k);
    expect((await rig.shepherd("fsck")).code).toBe(0);
    // On a busy machine it may have died before its first step: then nothing is to be gone on with.
    if (rows.length === 0) return expect(ran).toEqual([]);

    for (let tries = 0; tries < 3; tries++) {
      const again = await rig.shepherd("resume", "it");
      if (again.code === 0) break;
      expect(again.stderr, `${kind} at ${at}: ${again.stdout}`).toBe("");
    }
    // A call whose hook is killed does not run, and the model is told so.
    const end = await rig.log("it");
    const calls = end.filter((row) => row.kind === "tool");
    // One that was aborted with its agent is made again, as another step.
    const done = calls.filter((row) => row.status === "done").map(callOf);
    const missing = kind === "hook" ? calls.map(callOf).filter((call) => !done.includes(call)) : [];
    expect(missing.length).toBeLessThan(2);
    const lines = await rig.shepherd("cat", "it@", "lines.txt");
    const shown = end.map((row) => `${row.n} ${row.kind} ${row.status} ${row.summary.slice(0, 80)}`).join("\n");
    const wanted = Array.from({ length: CALLS }, (_, k) => String(k)).filter((k) => !missing.includes(k));
    expect(lines.stdout, `${kind} at ${at}\n${shown}`).toBe(wanted.map((k) => `${k}\n`).join(""));
    expect((await rig.shepherd("fsck")).code).toBe(0);
  } finally {
    await rig.end();
  }
});
