/** Killing commands at random moments, and what must hold afterwards. */
import * as fs from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { STAGING_PREFIX } from "../../src/run/landing/plan.ts";
import { detect } from "../../src/scope/exec/abilities.ts";
import { type Ended, type User, until } from "./user.ts";

export interface Row {
  n: number;
  id: string | null;
  frame: string;
  kind: string;
  status: string;
  summary: string;
}

/** The same numbers for the same seed. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Starts a command, and kills it after `ms` if it still runs. Gives what it has printed, and whether it was killed. */
export async function killedAfter(user: User, args: string[], ms: number): Promise<Ended & { killed: boolean }> {
  const running = user.start(args);
  const over = new AbortController();
  const ended = running.ended.finally(() => over.abort());
  await sleep(ms, undefined, { signal: over.signal }).catch(() => {});
  running.process.kill("SIGKILL");
  const done = await ended;
  return { ...done, killed: done.signal === "SIGKILL" };
}

/** Processes, but for those of tests, that have something of a user's directory: in their words, their environment or as their place. */
export function processesOf(user: User): string[] {
  const found: string[] = [];
  for (const pid of fs.readdirSync("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const parts = ["cmdline", "environ"].map((name) => () => fs.readFileSync(`/proc/${pid}/${name}`, "latin1"));
    parts.push(() => fs.readlinkSync(`/proc/${pid}/cwd`));
    for (const part of parts)
      try {
        if (part().includes(user.directory)) {
          found.push(`${pid} ${fs.readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ").slice(0, 200)}`);
          break;
        }
      } catch {
        // It ended meanwhile, or has none.
      }
  }
  return found;
}

/** Mounts with something of a user's directory, of this machine and of whatever mount namespace is left. */
export function mountsOf(user: User): string[] {
  const looked = new Set<string>();
  return fs.readdirSync("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const namespace = fs.readlinkSync(`/proc/${pid}/ns/mnt`);
      if (looked.has(namespace)) return [];
      looked.add(namespace);
      return fs
        .readFileSync(`/proc/${pid}/mountinfo`, "latin1")
        .split("\n")
        .filter((line) => line.includes(user.directory));
    } catch {
      // It ended meanwhile, or is another user's.
      return [];
    }
  });
}

/** Nothing that a killed command started outlives it for long, neither process nor mount. Without namespaces its commands do, until the next verb that drives the scope. */
export async function allEnded(user: User): Promise<void> {
  if (!(await detect()).samePath) return;
  await until(
    () => processesOf(user).length === 0 && mountsOf(user).length === 0,
    () => `these outlived their owner: ${[...processesOf(user), ...mountsOf(user)].join("; ")}`,
  );
}

/** Removes a user, with what is left running of a killed command where no namespace has ended it. */
export function endAll(user: User): void {
  for (const found of processesOf(user))
    try {
      process.kill(Number(found.split(" ")[0]), "SIGKILL");
    } catch {
      // It ended meanwhile.
    }
  user.end();
}

/** The steps of a run, oldest first; none if there is no such run. */
export async function stepsOf(user: User, run: string): Promise<Row[]> {
  const { code, objects } = await user.shepherd(["log", run, "--json"]);
  return code === 0 ? objects<Row>().reverse() : [];
}

/** What was seen of a run before a kill stands there afterwards: the same frames with the same numbers, and the same commits. */
export function expectKept(seen: readonly Row[], now: readonly Row[]): void {
  const byFrame = new Map(now.map((row) => [row.frame, row]));
  for (const row of seen) {
    const kept = byFrame.get(row.frame);
    expect(kept, `step ${row.n} (${row.kind} ${row.summary}) is gone`).toBeDefined();
    expect(kept!.n).toBe(row.n);
    if (row.id) expect(kept!.id).toBe(row.id);
  }
  const numbers = now.map(({ n }) => n);
  expect(new Set(numbers).size, `numbers are given twice: ${numbers}`).toBe(numbers.length);
}

/** The rows that a run or `log --follow --json` has printed; its last line may be torn. */
export const printedRows = (out: string): Row[] =>
  out
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Row)
    .filter(({ frame }) => frame !== undefined);

export const hasStaging = (user: User): boolean =>
  fs.readdirSync(user.project).some((name) => name.startsWith(STAGING_PREFIX));

/** What fsck says: no error whatever was killed. */
export async function expectSound(user: User): Promise<void> {
  const findings = (await user.shepherd(["fsck", "--json"])).objects();
  expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
  expect(findings.at(-1)).toMatchObject({ errors: 0 });
}

/** The files of a run at its newest step. */
export async function filesAt(user: User, run: string): Promise<string> {
  const to = join(user.directory, `at-${Math.random().toString(36).slice(2)}`);
  await user.does(["checkout", `${run}@`, to, "--no-vcs", "--partial"]);
  return to;
}
