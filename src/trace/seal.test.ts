import fc from "fast-check";
import { expect, test } from "vitest";
import { params } from "../../test/support/runs.ts";
import { link, sha256 } from "./bytes.ts";
import { frameHash, headerHash, makeFrame } from "./chain.ts";
import type { Frame } from "./frame.ts";
import type { LogHeader } from "./ports.ts";
import { type Fold, snapshotOf, startFold } from "./seal.ts";

const header: LogHeader = { v: 1, type: "log", id: "0".repeat(32), origin: null, meta: {} };
const tree = (name: string) => link("tree", sha256(name));
const blob = (name: string) => link("blob", sha256(name));

/** A frame to come, and the frames that must be there before it. */
interface Due {
  frame: Pick<Frame, "phase" | "n" | "facts" | "links">;
  after: Due[];
}

const call = fc.record({
  shared: fc.boolean(),
  status: fc.constantFrom("done", "failed", "denied", "not-run", "cut"),
  parts: fc.nat(2),
});
type Turn = Array<{ shared: boolean; status: string; parts: number }>;
const turns = fc.array(fc.array(call, { maxLength: 4 }), { minLength: 1, maxLength: 3 });

/** The frames of turns of one thread, with what each depends on: its intent, who had the lock before it, the turn before. */
function plan(list: Turn[]): Due[] {
  const all: Due[] = [];
  let lastIntent: Due[] = [];
  const due = (frame: Due["frame"], after: Due[]): Due => {
    const made = { frame, after };
    all.push(made);
    return made;
  };
  let n = 0;
  const intent = (facts: object, after: Due[], links?: object): Due => {
    const made = due({ phase: "intent", n: n++, facts, ...(links && { links }) } as Due["frame"], [
      ...after,
      ...lastIntent,
    ]);
    lastIntent = [made];
    return made;
  };
  const outcome = (of: number, facts: object, after: Due[]): Due =>
    due({ phase: "outcome", n: of, facts } as Due["frame"], after);
  const run = intent({ kind: "run", tier: "reversible" }, []);
  let before = [outcome(0, { status: "done", workspace: tree("start") }, [run])];
  for (const calls of list) {
    const turn = n;
    const asked = intent({ kind: "model", tier: "repeatable", thread: "main" }, before);
    const answered = outcome(turn, { status: "done", threads: { main: { append: [blob(`answer ${turn}`)] } } }, [
      asked,
    ]);
    const held: Array<{ shared: boolean; end: Due }> = [];
    const ends = [answered];
    for (const { shared, status, parts } of calls) {
      const own = n;
      const begun = intent({ kind: "tool", tier: "reversible", thread: "main", ...(shared && { shared }) }, [asked], {
        turn,
      });
      for (let i = 0; i < parts; i++) due({ phase: "part", n: own, facts: { part: "x", i } } as Due["frame"], [begun]);
      if (parts === 1) due({ phase: "note", n: own, facts: { note: "seen" } } as Due["frame"], [begun]);
      const locks = status !== "denied" && status !== "not-run";
      const waits = locks ? held.filter((other) => !(other.shared && shared)).map(({ end }) => end) : [];
      const changes = !shared && locks ? { workspace: tree(`after ${own}`) } : {};
      const end = outcome(own, { status, ...changes, threads: { main: { append: [blob(`result ${own}`)] } } }, [
        begun,
        ...waits,
      ]);
      if (locks) held.push({ shared, end });
      ends.push(end);
    }
    before = ends;
  }
  return all;
}

/** One order in which they can come. */
function order(all: Due[], choose: (ready: number) => number): Frame[] {
  const left = [...all];
  const done = new Set<Due>();
  const frames: Frame[] = [];
  let prev = headerHash(header);
  while (left.length > 0) {
    const ready = left.filter((each) => each.after.every((one) => done.has(one)));
    const next = ready[choose(ready.length)]!;
    left.splice(left.indexOf(next), 1);
    done.add(next);
    const frame = makeFrame({ v: 1, seq: frames.length, epoch: 1, prev, ...next.frame });
    prev = frameHash(frame);
    frames.push(frame);
  }
  return frames;
}

const foldOf = (frames: readonly Frame[], from: Fold = startFold(header)): Fold => {
  for (const frame of frames) from.push(frame, frameHash(frame));
  return from;
};
const commits = (fold: Fold) =>
  fold.sealed.map(({ n, sealed }) => ({ n, id: sealed!.id, parents: sealed!.parents, state: sealed!.state }));

/** Choices that depend on nothing but the list of numbers. */
const chooser = (numbers: readonly number[]) => {
  let at = 0;
  return (ready: number): number => numbers[at++ % numbers.length]! % ready;
};
const choices = fc.array(fc.nat(1000), { minLength: 1, maxLength: 40 });

test("commits are the same in whatever order frames come that do not depend on each other", () => {
  fc.assert(
    fc.property(turns, choices, (list, numbers) => {
      const all = plan(list);
      const plain = foldOf(order(all, () => 0));
      const other = foldOf(order(all, chooser(numbers)));
      expect(plain.pending()).toEqual([]);
      expect(commits(other)).toEqual(commits(plain));
      // Numbers, hashes of frames and counts of parts are of the log; the head is of the commits.
      expect(other.head()).toEqual(plain.head());
    }),
    params(3000),
  );
});

test("a step is sealed in the order of its turn, and not before its turn's message is whole", () => {
  fc.assert(
    fc.property(turns, choices, (list, numbers) => {
      const fold = startFold(header);
      let message = -1;
      for (const frame of order(plan(list), chooser(numbers))) {
        const sealed = fold.push(frame, frameHash(frame));
        if (frame.phase !== "outcome") expect(sealed).toEqual([]);
        for (const { n, intent, links } of sealed) {
          if (intent.kind === "model") message = n;
          if (intent.kind === "tool") expect(links.turn).toBe(message);
        }
      }
      expect(fold.sealed.map(({ n }) => n)).toEqual(fold.sealed.map((_, i) => i));
    }),
    params(1000),
  );
});

test("a fold that goes on, also from a snapshot, is the fold from the start", () => {
  fc.assert(
    fc.property(turns, choices, fc.nat(1000), (list, numbers, cut) => {
      const frames = order(plan(list), chooser(numbers));
      const at = cut % (frames.length + 1);
      const step = startFold(header);
      foldOf(frames.slice(0, at), step);
      const snapshot = structuredClone(snapshotOf(step));
      const whole = foldOf(frames);
      for (const each of [
        foldOf(frames.slice(at), step),
        foldOf(frames.slice(at), startFold(header, undefined, snapshot)),
      ]) {
        expect(commits(each)).toEqual(commits(whole));
        expect(each.head()).toEqual(whole.head());
        expect(each.next()).toBe(whole.next());
        expect([...each.steps.values()].sort((a, b) => a.n - b.n)).toEqual([...whole.steps.values()]);
      }
    }),
    params(1000),
  );
});

test("what breaks a law is told before and refused", () => {
  const fold = startFold(header);
  const push = (frame: object): void => {
    const made = makeFrame({ v: 1, seq: 0, epoch: 0, prev: sha256(""), ...frame });
    const wrong = fold.refuses(made);
    if (wrong) expect(() => fold.push(made, "")).toThrow(wrong);
    else fold.push(made, "");
    if (wrong) throw new Error(wrong);
  };
  const intent = (n: number) => ({ phase: "intent", n, facts: { kind: "tool", tier: "reversible" } });
  const outcome = (n: number) => ({ phase: "outcome", n, facts: { status: "done" } });
  expect(() => push(intent(1))).toThrow("The intent of step 1 came where step 0 was due.");
  push(intent(0));
  expect(() => push(intent(0))).toThrow("where step 1 was due");
  expect(() => push(outcome(1))).toThrow("Step 1 has an outcome, and no intent before it.");
  expect(() => push({ phase: "part", n: 1, facts: {} })).toThrow("Step 1 has a part, and no intent before it.");
  push(outcome(0));
  expect(() => push(outcome(0))).toThrow("Step 0 has a second outcome.");
  push({ phase: "note", n: 7, facts: { note: "of a step that is not there" } });
  expect(fold.sealed).toHaveLength(1);
});
