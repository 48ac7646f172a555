/** Kill -9 of a run's owner at random moments, also while it recovers: nothing is lost, nothing survives, and it comes to the same end. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  allEnded,
  endAll,
  expectKept,
  expectSound,
  filesAt,
  killedAfter,
  printedRows,
  random,
  stepsOf,
} from "../support/crash.ts";
import { long, runs, seed } from "../support/runs.ts";
import { bash, filesOf, newUser, put, type User } from "../support/user.ts";

/** What is done twice, or half, or in another order shows in the files. */
const TURNS = [
  {
    say: "many at once",
    call: [
      put("one.txt", "1\n"),
      bash(
        '(cd "$(dirname "$(mktemp -u)")"; while :; do date +%N > beat; sleep 0.01; done) & echo a >> all.txt; cd sub; export SEEN=1',
      ),
      { tool: "read", input: { path: "../one.txt" } },
      bash("echo b >> ../all.txt; sleep 0.05; echo $SEEN >> seen.txt"),
      { tool: "edit", input: { path: "../one.txt", old: "1", new: "one" } },
    ],
  },
  { say: "then one that fails", call: [bash("echo c >> ../all.txt; setsid sleep 300 & false")] },
  {
    say: "then git and removal",
    call: [bash("cd ..; rm b.txt; mkdir -p new/empty; ln -s all.txt link; chmod 600 all.txt; echo d >> all.txt")],
  },
  { say: "the end", delay: 5 },
];
const START = { "a.txt": "a\n", "b.txt": "b\n", "sub/c.txt": "c\n" };

let expected: { [path: string]: string };
/** How long an undisturbed run takes here and now, in ms. */
let lasts: number;

beforeAll(async () => {
  const user = await newUser(START);
  await user.does(["init"]);
  const began = performance.now();
  await user.does(["run", "--scope", "fix", "--model", user.script(TURNS), "x"]);
  lasts = performance.now() - began;
  expected = filesOf(await filesAt(user, "fix"));
  expect(expected["all.txt"]).toBe("a\nb\nc\nd\n");
  await allEnded(user);
  user.end();
});

const users: User[] = [];
afterAll(() => {
  for (const user of users) endAll(user);
});

test("a killed run is resumed to the same end, however often it is killed", async () => {
  const dice = random(seed);
  let whole = 0;
  for (let k = 0; k < runs(150, 6); k++) {
    const user = await newUser(START);
    users.push(user);
    const model = user.script(TURNS);
    let seen = printedRows(
      (await killedAfter(user, ["run", "--scope", "fix", "--model", model, "x", "--json"], dice() * lasts)).out,
    );
    for (let again = Math.floor(dice() * 3); again > 0; again--) {
      await allEnded(user);
      const now = await stepsOf(user, "fix");
      expectKept(seen, now);
      seen = now;
      if (now.length === 0) break;
      const more = await killedAfter(user, ["resume", "fix", "--json"], dice() * lasts);
      seen = [...seen, ...printedRows(more.out)];
    }
    await allEnded(user);
    expectKept(seen, await stepsOf(user, "fix"));
    const { out: status } = await user.does(["status", "--json"]);
    // Killed before there was a run.
    if (status === "") await user.does(["run", "--scope", "fix", "--model", model, "x"]);
    else await user.does(["resume", "fix"]);
    const now = await stepsOf(user, "fix");
    expectKept(seen, now);
    expect(now.filter((row) => row.id === null || ["intent", "in-doubt"].includes(row.status))).toEqual([]);
    expect(now.every((row, i) => row.n === i)).toBe(true);
    const at = await filesAt(user, "fix");
    // An answer that was cut short counts with the calls it had; the script goes on with its next turn, as no model would.
    if (now.every(({ status }) => status !== "cut")) {
      whole++;
      expect(filesOf(at), `seed ${seed}, run ${k}`).toEqual(expected);
      expect(fs.statSync(join(at, "all.txt")).mode & 0o777).toBe(0o600);
      expect(fs.readdirSync(join(at, "new/empty"))).toEqual([]);
    }
    expect(user.files()).toEqual(START);
    await expectSound(user);
    await allEnded(user);
    endAll(users.pop()!);
  }
  expect(whole).toBeGreaterThan(runs(150, 6) / 2);
}, 3_000_000);

const LOOKS = [["status"], ["log", "fix"], ["show", "fix@0"], ["replay", "fix"]];
/** Verbs that a user may type first after a crash, and what holds then. */
const FIRST: Array<[string[], (user: User) => Promise<void> | void]> = [
  [["revert", "fix", "0"], async (user) => expect(filesOf(await filesAt(user, "fix"))).toEqual(START)],
  [["merge", "fix"], async (user) => expect(user.files()).toEqual(filesOf(await filesAt(user, "fix")))],
  [["exec", "fix", "--", "true"], () => {}],
  [["fork", "fix@"], async (user) => void (await user.does(["log", "fix.1"]))],
  [["sync", "fix"], () => {}],
  [["gc", "--work"], () => {}],
  [["discard", "fix"], async (user) => void (await user.does(["undo"]))],
  [["resume", "fix", "something else", "--open", "perform"], () => {}],
  [["diff", "fix"], () => {}],
  [["cat", "fix@0", "b.txt"], () => {}],
  [["checkout", "fix", "0", "../at-0"], (user) => expect(filesOf(`${user.directory}/at-0`)).toEqual(START)],
  [["forget", "fix@0", "b.txt", "--yes", "--dry-run"], () => {}],
  [["run", "--scope", "other", "--", "true"], () => {}],
  [["du"], () => {}],
  [["doctor"], () => {}],
];

test("after a kill every verb works at once, and the run can still be resumed", async () => {
  const dice = random(seed + 1);
  for (let k = 0; k < runs(60, FIRST.length); k++) {
    const user = await newUser(START);
    users.push(user);
    const [first, holds] = FIRST[k % FIRST.length]!;
    const { out } = await killedAfter(
      user,
      ["run", "--scope", "fix", "--model", user.script([...TURNS, { say: "the end, again" }]), "x", "--json"],
      (0.3 + 0.7 * dice()) * lasts,
    );
    const seen = printedRows(out);
    if (seen.length === 0) {
      endAll(users.pop()!);
      continue;
    }
    // Of those that only look, the sample types one.
    for (const [i, verb] of LOOKS.entries()) if (long || i === k % LOOKS.length) await user.does(verb);
    const done = await user.shepherd(first);
    expect([done.code, done.err], `${first.join(" ")} (seed ${seed}, run ${k})`).toEqual([0, expect.any(String)]);
    await holds(user);
    await user
      .shepherd(["resume", "fix"])
      .then(({ code, err }) => expect([code, err]).toEqual([0, expect.any(String)]));
    expectKept(seen, await stepsOf(user, "fix"));
    await expectSound(user);
    await allEnded(user);
    endAll(users.pop()!);
  }
}, 3_000_000);
