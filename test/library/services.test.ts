/**
 * Effects that are taken back in the world outside: reservations in a PostgreSQL and stock in a Redis, each once, in reverse order, with kill -9 in
 * the middle, as these two tell it.
 */
import { writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { built } from "../support/built.ts";
import { random } from "../support/crash.ts";
import { untilKilled } from "../support/killed.ts";
import { type LibraryRig, libraryRig } from "../support/library-rig.ts";
import { newWorld, noWorld, type World } from "../support/outside-world.ts";
import { removeAll } from "../support/remove.ts";
import { long, runs, seed } from "../support/runs.ts";
import { newUser, until } from "../support/user.ts";

const SUPPORT = resolve(import.meta.dirname, "../support");

interface Done {
  result?: unknown;
  error?: { name: string; message: string; hint: string; effects?: unknown };
  frames: number;
  steps: Array<{ n: number; kind: string; status: string }>;
}
interface Way {
  /** Number of the frame before which the program ends itself, from 1. */
  at?: number;
  /** After so many ms it is killed. */
  ms?: number;
  /** Where in an effect or an undo it ends itself. */
  dies?: string;
  /** Whether the run goes on for long when all is booked. */
  stays?: boolean;
}

/** What is booked, in this order: each is a step, and so is a word that cannot be taken back, between `t3` and `r4`. */
const ALL = [1, 2, 3, 4, 5, 6].flatMap((k) => [`r${k}`, `t${k}`]);
const upTo = (n: number): string[] => ALL.slice(0, n < 7 ? n : n - 1);
const lastFirst = (items: readonly string[]): string[] => [...items].reverse();
const behind = (n: number): string[] => lastFirst(ALL.slice(upTo(n).length));
const TARGETS = [0, 4, 7, 10];

describe.skipIf(noWorld !== null)(`taken back in the world outside${noWorld ? ` (${noWorld})` : ""}`, () => {
  let index: string;
  let world: World;
  let rig: LibraryRig;
  const rigs: LibraryRig[] = [];
  const blank = (): void => {
    world.clear();
    rig = libraryRig();
    rigs.push(rig);
  };
  /** Brings back how things stood when the run had booked all. */
  let booked: () => void;
  beforeAll(async () => {
    index = join(dirname(await built()), "index.js");
    world = await newWorld();
    blank();
    await book("start");
    world.expect(ALL, []);
    const [first, back] = [rig, world.keep(rig)];
    booked = () => {
      rig = first;
      back();
    };
  });
  afterAll(async () => {
    for (const { directory, end } of rigs) {
      removeAll(`${directory}.kept`);
      end();
    }
    await world?.end();
  });

  /** A program that drives the run of an agent, or does something to it; null where it was killed. */
  const program = (agent: string, does: string, { at = 0, ms, dies = "", stays }: Way = {}): Promise<Done | null> =>
    untilKilled<Done>(
      [join(SUPPORT, "booking-child.mjs"), index, rig.directory, String(at), agent, ...does.split(" ")],
      {
        ms,
        env: { ...world.env, DIES: dies, ...(stays && { STAYS: "1" }) },
      },
    );
  const book = (does: string, way?: Way) => program("book", does, way);
  /** One that is not killed, and whose work does not fail. */
  const does = async (what: string): Promise<Done> => {
    const done = (await book(what))!;
    expect(done.error).toBe(undefined);
    return done;
  };

  /** What may come behind a kill. `again`: how often something may have been tried in vain. */
  const goesOn: { [how: string]: (again: number, n: number) => Promise<void> } = {
    "the same once more, and again": async (again, n) => {
      for (const _ of [1, 2]) {
        await does(`revert ${n}`);
        world.expect(upTo(n), behind(n), again);
      }
      await does("revert 0");
      world.expect([], lastFirst(ALL), again);
    },
    "the run is resumed, and books anew what lay behind": async (again, n) => {
      const { result, steps } = await does("resume");
      expect(result).toHaveLength(13);
      // It may have been killed before it was written down that it is to be reverted.
      const undone = steps.some(({ kind }) => kind === "revert") ? behind(n) : [];
      world.expect(ALL, undone, again);
      await does("revert 0");
      world.expect([], [...undone, ...lastFirst(ALL)], again);
    },
    "it is discarded, and that once": async (again) => {
      await does("discard");
      world.expect([], lastFirst(ALL), again);
      expect((await book("discard"))!.error!.message).toContain("book is discarded");
      world.expect([], lastFirst(ALL), again);
    },
  };
  const hows = Object.keys(goesOn);
  const upToFrame = (frames: number): number[] => Array.from({ length: frames }, (_, k) => k + 1);
  const any = <T>(all: readonly T[], dice: () => number): T => all[Math.floor(dice() * all.length)]!;
  /** In the long suite all of them. */
  const some = <T>(all: readonly T[], dice: () => number): T[] => (long ? [...all] : [any(all, dice)]);

  test("each once, also if a frame of it was the last that a program wrote", async () => {
    const dice = random(seed);
    for (const n of some(TARGETS, dice)) {
      booked();
      const { frames } = await does(`revert ${n}`);
      world.expect(upTo(n), behind(n));
      for (const at of some(upToFrame(frames), dice)) {
        booked();
        expect(await book(`revert ${n}`, { at })).toBe(null);
        await goesOn[any(hows, dice)]!(1, n);
      }
    }
  });

  test("the same of a discard", async () => {
    const dice = random(seed + 1);
    booked();
    const { frames } = await does("discard");
    world.expect([], lastFirst(ALL));
    for (const at of some(upToFrame(frames), dice)) {
      booked();
      expect(await book("discard", { at })).toBe(null);
      await book("discard");
      world.expect([], lastFirst(ALL), 1);
      expect((await book("discard"))!.error!.message).toContain("book is discarded");
    }
  });

  test.runIf(long)("the same at random moments, as often as it likes", async () => {
    const dice = random(seed + 2);
    for (let k = 0; k < runs(60); k++) {
      booked();
      let kills = 0;
      while (kills < 3 && !(await book("revert 4", { ms: 100 + dice() * 700 }))) kills++;
      await goesOn[any(hows, dice)]!(kills, 4);
    }
  });

  test("killed when the world has taken it back and no frame tells so", async () => {
    const dice = random(seed + 3);
    const moments = ["before undoing r5", "after undoing r5", "before undoing t4", "after undoing t4"];
    for (const dies of some(moments, dice))
      for (const how of some(hows, dice)) {
        booked();
        expect(await book("revert 4", { dies })).toBe(null);
        await goesOn[how]!(1, 4);
      }
  });

  /** Kills the run in an effect, before or after it has acted; gives that, as it is taken back, and what stands besides. */
  const killedIn = async (dies: string): Promise<{ first: string; stands: string[] }> => {
    blank();
    expect(await book("start", { dies })).toBe(null);
    const [when, item] = dies.split(" ") as [string, string];
    return { first: when === "before" ? `~${item}` : item, stands: ALL.slice(0, ALL.indexOf(item)) };
  };
  const MOMENTS = ["before r4", "after r4", "before t4", "after t4"];

  test.runIf(long)("what may have acted when the run was killed is taken back first", async () => {
    for (const dies of MOMENTS)
      for (const n of TARGETS.slice(0, 3)) {
        const { first, stands } = await killedIn(dies);
        await does(`revert ${n}`);
        const undone = [first, ...lastFirst(stands.slice(upTo(n).length))];
        world.expect(upTo(n), undone);
        await does("discard");
        world.expect([], [...undone, ...lastFirst(upTo(n))]);
      }
  });

  test("what may have acted is taken back when the run is resumed, done only when that is said, and then taken back as any other", async () => {
    const dice = random(seed + 5);
    for (const dies of some(MOMENTS, dice)) {
      const { first, stands } = await killedIn(dies);
      for (const _ of [1, 2]) {
        const { error } = (await book("resume"))!;
        expect(error).toMatchObject({ name: "InDoubt", effects: [{ tier: "compensable", compensated: true }] });
        world.expect(stands, [first]);
      }
      await does("perform");
      world.expect(ALL, [first]);
      await does("revert 4");
      world.expect(upTo(4), [first, ...behind(4)]);
    }
  });

  test("where the world is down the revert fails in a sentence, and waits for whoever comes when it is up", async () => {
    const dice = random(seed + 6);
    for (const how of some(hows, dice)) {
      booked();
      await world.postgres.stop();
      try {
        for (const what of some(["revert 4", "resume", "discard"], () => 0)) {
          const { error, steps } = (await book(what))!;
          expect(error).toMatchObject({ name: "Failed", hint: expect.stringContaining("goes on with it") });
          expect(error!.message).toContain("The undo of step 12 (book: reserve) failed: psql: error:");
          expect(steps.at(-1)).toMatchObject({ kind: "revert", status: "intent" });
        }
      } finally {
        await world.postgres.start();
      }
      expect(world.booked()).toBe(ALL.length - 1);
      await goesOn[how]!(0, 4);
    }
  });

  test("two that take the same back at once", async () => {
    for (let k = 0; k < runs(20, 1); k++) {
      booked();
      const [one, other] = await Promise.all([book("revert 4"), book("revert 4")]);
      for (const each of [one, other]) expect(each!.result).toMatchObject({ outside: expect.any(Array) });
      world.expect(upTo(4), behind(4));
    }
  });

  test("a program that drives the run is killed in the revert that another has asked it for", async () => {
    blank();
    const driven = book("start", { stays: true, dies: "after undoing t4" });
    await until(() => world.booked() === ALL.length);
    await does("revert 4");
    expect(await driven).toBe(null);
    world.expect(upTo(4), behind(4), 1);
  });

  test("what agents did that were called, one of which failed, or was killed", async () => {
    blank();
    const all = ["first", "r1", "t1", "r2", "t2"];
    await program("tour", "start");
    world.expect([...all, "last"], []);
    await program("tour", "revert 1");
    world.expect(["first"], lastFirst([...all.slice(1), "last"]));
    blank();
    expect(await program("tour", "start", { dies: "after t2" })).toBe(null);
    expect(await program("tour", "revert 0", { dies: "after undoing r1" })).toBe(null);
    await program("tour", "revert 0");
    world.expect([], lastFirst(all), 1);
  });

  test("by the command, which loads the module, and is killed", async () => {
    world.clear();
    const user = await newUser();
    try {
      writeFileSync(
        join(user.project, "book.mjs"),
        `import * as library from ${JSON.stringify(index)};
import { booking } from ${JSON.stringify(join(SUPPORT, "booking.mjs"))};
export const { book } = booking(library);
`,
      );
      const env = { ...world.env, PATH: process.env.PATH! };
      const allow = ["reserve", "take", "announce"].flatMap((name) => ["--allow", name]);
      await user.does(["run", "./book.mjs#book", ...allow], 0, { env });
      const killed = { env: { ...env, DIES: "after undoing t5" } };
      expect((await user.shepherd(["revert", "4", "--acknowledge"], killed)).signal).toBe("SIGKILL");
      const { out } = await user.does(["revert", "4", "--acknowledge"], 0, { env });
      expect(out).toContain("book is back at step 4");
      world.expect(upTo(4), behind(4), 1);
      await user.does(["discard", "book"], 0, { env });
      world.expect([], lastFirst(ALL), 1);
    } finally {
      user.end();
    }
  });
});
