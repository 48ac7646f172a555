/** Kill -9 during operations at random moments: each has happened or has not, nothing is in between, and what comes next works. */
import { execFileSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  allEnded,
  expectKept,
  expectSound,
  filesAt,
  hasStaging,
  killedAfter,
  random,
  stepsOf,
} from "../support/crash.ts";
import { runs, seed } from "../support/runs.ts";
import { bash, filesOf, newUser, type User } from "../support/user.ts";

type Files = { [path: string]: string };
const START: Files = {
  "a.txt": "1\n2\n3\n4\n5\n6\n7\n8\n9\n",
  "gone.txt": "gone\n",
  "secret.txt": "very-secret-text\n",
};
for (let i = 0; i < 30; i++) START[`many/${i}.txt`] = `${i}\n`;

/** A run `fix` that changed many files: step 2 the first half, step 3 the second. Every test starts with this. */
let user: User;
beforeAll(async () => {
  user = await newUser(START);
  const half = "for i in $(seq 0 2 28); do echo new >> many/$i.txt; done; cat secret.txt";
  const rest =
    "sed -i s/2/TWO/ a.txt; rm gone.txt; mkdir -p made/empty; ln -s a.txt link; for i in $(seq 1 20); do echo $i > made/$i.txt; done";
  await user.does([
    "run",
    "--scope",
    "fix",
    "--model",
    user.script([{ call: [bash(half), bash(rest)] }, { say: "the end" }]),
    "x",
  ]);
  keep("prepared");
});
afterAll(() => {
  for (const name of kept) rmSync(placeOf(name), { recursive: true, force: true });
  user.end();
});

const kept = new Set<string>();
const placeOf = (name: string): string => `${user.directory}.${name}`;
const copy = (from: string, to: string): void => {
  rmSync(to, { recursive: true, force: true });
  execFileSync("cp", ["-a", from, to]);
};
/** Keeps all that the user has, to go back to. */
const keep = (name: string): void => {
  kept.add(name);
  copy(user.directory, placeOf(name));
};
const back = (name: string): void => copy(placeOf(name), user.directory);

interface Operation {
  name: string;
  /** What comes before. */
  before?: (user: User) => Promise<void>;
  args: string[];
  /** Checks that it has happened whole, or not at all. */
  either: (user: User, before: State, after: State) => Promise<void> | void;
  /** What is typed next, and must leave the user where the operation done once would have. */
  again: (user: User) => Promise<void>;
}

interface State {
  /** The user's files, and those of the run. */
  mine: Files;
  run: Files;
}

const stateOf = async (user: User): Promise<State> => ({
  mine: user.files(),
  run: filesOf(await filesAt(user, "fix")),
});

const without = (files: Files, path: string): Files =>
  Object.fromEntries(Object.entries(files).filter(([name]) => name !== path));

const OPERATIONS: Operation[] = [
  {
    name: "merge",
    args: ["merge", "fix"],
    // Path by path: after a kill the next look ends it, whole or as far as it came.
    either: (user, before, after) => {
      const now = user.files();
      for (const path of new Set([...Object.keys(before.mine), ...Object.keys(after.mine), ...Object.keys(now)]))
        expect([before.mine[path], after.mine[path]], path).toContain(now[path]);
    },
    again: async (user) => {
      await user.does(["merge", "fix"]);
    },
  },
  {
    name: "undo of a landing",
    before: async (user) => {
      await user.does(["merge", "fix"]);
    },
    args: ["undo"],
    either: (user, before, after) => {
      const now = user.files();
      for (const path of new Set([...Object.keys(before.mine), ...Object.keys(after.mine), ...Object.keys(now)]))
        expect([before.mine[path], after.mine[path]], path).toContain(now[path]);
    },
    again: async (user) => {
      const { code, err } = await user.shepherd(["undo"]);
      if (code !== 0) expect(err).toContain("nothing to undo");
    },
  },
  {
    name: "revert",
    args: ["revert", "fix", "2"],
    either: async (user, before, after) => {
      expect([before.run, after.run]).toContainEqual((await stateOf(user)).run);
    },
    again: async (user) => {
      await user.does(["revert", "fix", "2"]);
    },
  },
  {
    name: "handoff",
    args: ["handoff", "fix", "Begin anew.", "--from", "fix@2"],
    either: async (user, before, after) => {
      expect([before.run, after.run]).toContainEqual((await stateOf(user)).run);
    },
    again: async (user) => {
      await user.does(["handoff", "fix", "Begin anew.", "--from", "fix@2"]);
    },
  },
  {
    name: "undo of a revert",
    before: async (user) => {
      await user.does(["revert", "fix", "1"]);
    },
    args: ["undo"],
    either: async (user, before, after) => {
      expect([before.run, after.run]).toContainEqual((await stateOf(user)).run);
    },
    again: async (user) => {
      const { code, err } = await user.shepherd(["undo"]);
      if (code !== 0) expect(err).toContain("nothing to undo");
    },
  },
  {
    name: "merge into a run",
    before: async (user) => {
      await user.does(["fork", "fix@"]);
      await user.does(["exec", "fix.1", "--", "sh", "-c", "echo child > child.txt; sed -i s/9/NINE/ a.txt"]);
    },
    args: ["merge", "fix.1", "--into", "fix"],
    either: async (user, before, after) => {
      expect([before.run, after.run]).toContainEqual((await stateOf(user)).run);
    },
    again: async (user) => {
      await user.does(["merge", "fix.1", "--into", "fix"]);
    },
  },
  {
    name: "sync",
    before: async (user) => user.write({ "a.txt": START["a.txt"]!.replace("9", "NINE"), "mine.txt": "mine\n" }),
    args: ["sync", "fix"],
    either: async (user, before, after) => {
      expect([before.run, after.run]).toContainEqual((await stateOf(user)).run);
    },
    again: async (user) => {
      await user.does(["sync", "fix"]);
    },
  },
  {
    name: "discard",
    args: ["discard", "fix"],
    either: () => {},
    again: async (user) => {
      const { code, err } = await user.shepherd(["discard", "fix"]);
      if (code !== 0) expect(err).toContain("is discarded");
      // What was discarded can be brought back, whenever the first was killed.
      await user.does(["undo"]);
      await user.does(["discard", "fix"]);
    },
  },
  {
    name: "gc",
    before: async (user) => {
      await user.does(["forget", "fix@", "secret.txt", "--yes"]);
      await user.does(["fork", "fix@2", "--partial"]);
    },
    args: ["gc", "--work"],
    either: () => {},
    again: async (user) => {
      await user.does(["gc", "--work"]);
    },
  },
  {
    name: "forget",
    args: ["forget", "--containing", "very-secret", "--yes"],
    either: async (user) => {
      rmSync(`${user.directory}/out`, { recursive: true, force: true });
      await user.does(["checkout", "fix@1", `${user.directory}/out`, "--partial"]);
      expect([START, without(START, "secret.txt")]).toContainEqual(filesOf(`${user.directory}/out`));
    },
    again: async (user) => {
      await user.does(["forget", "--containing", "very-secret", "--yes"]);
      await user.does(["gc"]);
      expect((await user.does(["cat", "fix@1", "secret.txt"], 3)).err).toContain("forgotten");
    },
  },
  {
    name: "fork",
    args: ["fork", "fix@2", "-k", "3"],
    either: async (user) => {
      for (const { scope } of (await user.does(["status", "--json"])).objects())
        expect((await user.does(["replay", String(scope), "--json"])).objects()).toMatchObject([{ wrong: [] }]);
    },
    again: async (user) => {
      await user.does(["fork", "fix@2", "--scope", "last"]);
      await user.does(["exec", "last", "--", "true"]);
    },
  },
  {
    name: "checkout",
    args: ["checkout", "fix@3", "../out"],
    // What it wrote stands in a directory of its own, and may be the half of it, of the last file too.
    either: (user, _before, after) => {
      const out = `${user.directory}/out`;
      for (const [path, text] of Object.entries(existsSync(out) ? filesOf(out) : {}))
        if (!path.includes("/.") && !path.startsWith(".")) expect(after.run[path]?.startsWith(text), path).toBe(true);
    },
    again: async (user) => {
      rmSync(`${user.directory}/out`, { recursive: true, force: true });
      await user.does(["checkout", "fix@3", "../out"]);
      expect(filesOf(`${user.directory}/out`)).toEqual(filesOf(await filesAt(user, "fix")));
    },
  },
  {
    name: "run that lands",
    args: [
      "run",
      "--scope",
      "other",
      "--land",
      "auto",
      "--",
      "sh",
      "-c",
      "for i in $(seq 0 29); do echo $i > many/$i.txt; done; echo o > o.txt",
    ],
    either: (user, before, after) => {
      const now = user.files();
      for (const path of new Set([...Object.keys(before.mine), ...Object.keys(after.mine), ...Object.keys(now)]))
        expect([before.mine[path], after.mine[path]], path).toContain(now[path]);
    },
    again: async (user) => {
      const there = (await user.does(["status", "--json"])).objects().some(({ scope }) => scope === "other");
      if (there) await user.does(["resume", "other", "--land", "auto"]);
      else
        await user.does([
          "run",
          "--scope",
          "other",
          "--land",
          "auto",
          "--",
          "sh",
          "-c",
          "for i in $(seq 0 29); do echo $i > many/$i.txt; done; echo o > o.txt",
        ]);
      await user.does(["merge", "other"]);
    },
  },
];

for (const { name, before: first, args, either, again } of OPERATIONS)
  test(`${name}: killed at any moment it has happened or not, and can be done again`, async () => {
    const dice = random(seed + name.length);
    back("prepared");
    await first?.(user);
    keep(name);
    // What it comes to undisturbed, and how long it takes here and now.
    const before = await stateOf(user);
    const began = performance.now();
    await user.does(args);
    const whole = performance.now() - began;
    const after = await stateOf(user);
    for (let k = 0; k < runs(24, name.includes("land") || name === "merge" ? 2 : 1); k++) {
      const told = `seed ${seed}, ${k}`;
      back(name);
      const seen = await stepsOf(user, "fix");
      // The first part is only the start of a process.
      await killedAfter(user, args, (0.2 + 0.8 * dice()) * whole);
      await allEnded(user);
      await user.does(["status"]);
      expect(hasStaging(user), told).toBe(false);
      await either(user, before, after);
      await again(user);
      const now = await stateOf(user);
      expect(now.mine, told).toEqual(after.mine);
      expect(now.run, told).toEqual(after.run);
      expect(hasStaging(user), told).toBe(false);
      expectKept(seen, await stepsOf(user, "fix"));
      await expectSound(user);
    }
  }, 3_000_000);

test("an operation of which the user never saw the end can be taken back", async () => {
  const dice = random(seed + 99);
  back("prepared");
  const before = (await stateOf(user)).run;
  for (let k = 0; k < runs(50, 2); k++) {
    const { killed } = await killedAfter(user, ["revert", "fix", "1"], 60 + dice() * 250);
    const reverted = JSON.stringify((await stateOf(user)).run) !== JSON.stringify(before);
    const { code, err } = await user.shepherd(["undo"]);
    // One that had begun is gone on with first.
    const told = [code, err];
    if (reverted || code === 0) expect(told, `killed: ${killed}, reverted: ${reverted}`).toEqual([0, ""]);
    else expect(told).toEqual([2, expect.stringContaining("nothing to undo")]);
    expect((await stateOf(user)).run).toEqual(before);
  }
  await expectSound(user);
}, 3_000_000);
