/**
 * Kill -9 of a gate with a name, and of the run at which it stands, before each frame and at random moments: nothing is decided twice, nothing acts
 * without its word or what is declared, and what is written down is what happened.
 */
import * as fs from "node:fs";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeAll, expect, test } from "vitest";
import { findScope } from "../../src/scope/registry.ts";
import { idempotencyKey } from "../../src/scope/scope.ts";
import { getBytes } from "../../src/scope/thread.ts";
import { readLog } from "../../src/scope/view.ts";
import { decodeJson } from "../../src/trace/bytes.ts";
import type { Json, Link } from "../../src/trace/ports.ts";
import { openStore } from "../../src/trace/store.ts";
import { built } from "../support/built.ts";
import { random } from "../support/crash.ts";
import { untilKilled } from "../support/killed.ts";
import { type LibraryRig, libraryRig } from "../support/library-rig.ts";
import { long, runs, seed } from "../support/runs.ts";

const CHILD = resolve(import.meta.dirname, "../support/gate-child.mjs");
const HOLDS = ["allow", "deny", "wait"] as const;
let index: string;

const rigs: LibraryRig[] = [];
const children = new Set<Child>();
afterEach(async () => {
  for (const child of children) child.kill();
  while (children.size > 0) await sleep(5);
  for (const rig of rigs.splice(0)) rig.end();
});
const begin = (): LibraryRig => {
  const rig = libraryRig();
  rigs.push(rig);
  return rig;
};

interface Child {
  kill(): void;
  /** What it printed; null if it was killed. */
  ended: Promise<{ result: string[]; frames: number } | null>;
}

function child(role: "owner" | "gate", { directory }: LibraryRig, ...words: string[]): Child {
  const over = new AbortController();
  const ended = untilKilled<{ result: string[]; frames: number }>([CHILD, role, index, directory, ...words], {
    signal: over.signal,
  });
  const started: Child = { kill: () => over.abort(), ended };
  children.add(started);
  const gone = (): void => void children.delete(started);
  ended.then(gone, gone);
  return started;
}

const linesOf = <T>({ directory }: LibraryRig, file: string): T[] =>
  fs.existsSync(join(directory, file))
    ? fs
        .readFileSync(join(directory, file), "utf8")
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line) as T)
    : [];

/** What was decided of a call, as its log has it. */
interface Call {
  n: number;
  name: string;
  asked: Json;
  words: Array<{ decision: string; input: Json }>;
  defaults: string[];
  status: string;
  acted: Json[];
}

async function callsOf(rig: LibraryRig): Promise<Call[]> {
  const store = await openStore(rig.at.store);
  try {
    const { log } = (await findScope(store, "ship"))!;
    const { fold } = await readLog(store, log);
    const acted = linesOf<{ key: string; input: Json }>(rig, "acted");
    const calls = new Map<number, Call>();
    for (const step of fold.steps.values()) {
      const { n, intent, outcome } = step;
      if (intent.kind !== "effect") continue;
      const { name, input } = decodeJson(await getBytes(store, intent.what!)) as { name: string; input: Json };
      if (name === "return") continue;
      const key = idempotencyKey(log, step);
      const did = acted.filter((each) => each.key === key).map((each) => each.input);
      calls.set(n, { n, name, asked: input, words: [], defaults: [], status: outcome!.status, acted: did });
    }
    for await (const { n, phase, facts } of store.logs.read(log)) {
      const call = n === null ? undefined : calls.get(n);
      if (phase === "outcome" && call) expect(call.words.length + call.defaults.length, `step ${n}`).toBeGreaterThan(0);
      if (phase !== "note" || facts.note !== "gate" || !call) continue;
      expect(facts.gate).toBe("docs");
      if (facts.decision === "default") {
        // What it has decided is not left to the default any more.
        expect(call.words, `step ${n}`).toEqual([]);
        call.defaults.push(String(facts.default));
      } else {
        const what = facts.decision === "rewrite" ? facts.what : null;
        const input = what ? decodeJson(await getBytes(store, what as Link)) : call.asked;
        call.words.push({ decision: String(facts.decision), input });
      }
    }
    // Each act is one of these calls.
    expect([...calls.values()].flatMap((call) => call.acted)).toHaveLength(acted.length);
    return [...calls.values()];
  } finally {
    await store.close();
  }
}

/** Nothing was decided twice, or acted against what was decided; what came of the run is what was decided. */
async function expectSound(rig: LibraryRig, holds: string, result: string[]): Promise<Call[]> {
  const calls = await callsOf(rig);
  expect(calls).toHaveLength(10);
  const came: string[] = [];
  for (const { n, name, asked, words, defaults, status, acted } of calls) {
    expect(words.length, `words on step ${n}`).toBeLessThanOrEqual(1);
    const [word] = words;
    expect(defaults.filter((each) => each !== holds)).toEqual([]);
    const may: Json[] = [];
    if (word && word.decision !== "deny") may.push(word.input);
    if (defaults.includes("allow")) may.push(asked);
    for (const input of acted) expect(may, `step ${n}`).toContainEqual(input);
    const last = word?.decision ?? defaults.at(-1);
    expect(["allow", "deny", "rewrite"]).toContain(last);
    expect(status, `step ${n}`).toBe(last === "deny" ? "denied" : "done");
    if (name === "send") expect(acted.length, `step ${n}`).toBeLessThanOrEqual(1);
    if (status === "done") expect(acted.length).toBeGreaterThan(0);
    came.push(`${name} ${asked} ${last === "deny" ? "denied" : (word?.input ?? asked)}`);
  }
  expect(result).toEqual(came.sort());
  // What a gate was told that it had decided is what it had, each once.
  const decided = new Map(calls.flatMap(({ n, words }) => words.map(({ decision }) => [n, decision] as const)));
  for (const { decided: told } of linesOf<{ decided: Array<[number, string]> }>(rig, "told")) {
    expect(new Set(told.map(([n]) => n)).size).toBe(told.length);
    for (const [n, decision] of told) expect(decided.get(n)).toBe(decision);
  }
  return calls;
}

beforeAll(async () => {
  index = join(dirname(await built()), "index.js");
});

test("the owner killed before a frame is written, whichever it is: the word that was written counts, and what was not decided is asked", async () => {
  const whole = begin();
  const gate = child("gate", whole);
  const { result, frames } = (await child("owner", whole, "wait", "0").ended)!;
  gate.kill();
  await expectSound(whole, "wait", result);
  const dice = random(seed);
  const all = Array.from({ length: frames }, (_, k) => k + 1);
  await killedAt(long ? all : all.filter(() => dice() < 6 / all.length));
});

test("the owner killed when the call has acted, and its outcome is not written: it is not asked about again", async () => {
  // The first is that of the run itself.
  const outcomes = Array.from({ length: 10 }, (_, k) => k + 2);
  await killedAt(outcomes.slice(0, runs(10, 5)), '"phase":"outcome"');
});

/** Kills the owner before frames in which `text` stands, and lets another one go on. */
async function killedAt(frames: readonly number[], text = ""): Promise<void> {
  for (const at of frames) {
    const rig = begin();
    const gate = child("gate", rig);
    // What is said otherwise makes another number of frames.
    const first = await child("owner", rig, "wait", String(at), text).ended;
    const done = first ?? (await child("owner", rig, "wait", "0").ended);
    gate.kill();
    await gate.ended;
    await expectSound(rig, "wait", done!.result);
    rig.end();
  }
}

test("gate and owner killed at random moments, as often as they like, by what is declared for the gate", async () => {
  const dice = random(seed + 1);
  let words = 0;
  for (let k = 0; k < runs(200, 8); k++) {
    const holds = HOLDS[k % HOLDS.length]!;
    const rig = begin();
    const over = new AbortController();
    const gates = (async () => {
      for (let kills = 0; !over.signal.aborted; kills++) {
        const gate = child("gate", rig);
        // At last it is let live, so that what waits comes to an end.
        const lives = kills < 6 ? 300 + dice() * 700 : 2 ** 30;
        await sleep(lives, undefined, { signal: over.signal }).catch(() => {});
        gate.kill();
        await gate.ended;
      }
    })();
    let done: Awaited<Child["ended"]> = null;
    for (let tries = 0; !done && tries < 3; tries++) {
      const owner = child("owner", rig, holds, "0");
      const ended = new AbortController();
      void sleep(300 + dice() * 1500, undefined, { signal: ended.signal }).then(owner.kill, () => {});
      done = await owner.ended;
      ended.abort();
    }
    done ??= await child("owner", rig, holds, "0").ended;
    over.abort();
    await gates;
    words += (await expectSound(rig, holds, done!.result)).flatMap((call) => call.words).length;
    rig.end();
  }
  expect(words).toBeGreaterThan(0);
});
