/**
 * Random programs of what happens to the files of scopes: work, captures, forks, reverts, a close and an open, and writers that go on
 * meanwhile in processes' place. Beside each world stands a plain directory that the same is done to by plain system calls, with a fork and a
 * revert as a copy of all bytes. At each moment both hold the same.
 */
import * as fs from "node:fs";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { expect } from "vitest";
import type { Objects } from "../../src/trace/ports.ts";
import type { Captured, World } from "../../src/world/driver.ts";
import { memoryObjects } from "../support/objects.ts";
import {
  inTemporary,
  look,
  type Op,
  program,
  restorable,
  run,
  type Seen,
  wipe,
  withoutTimes,
} from "../support/trees.ts";
import type { Garage } from "./driver.ts";

/** Done by a writer beside all else: kind, name, content. */
type Write = [kind: number, name: string, content: string];
export type Step =
  | { do: "work"; world: number; ops: Op[] }
  | { do: "capture"; world: number }
  | { do: "reopen"; world: number }
  | { do: "fork"; world: number; state: number }
  | { do: "revert"; world: number; state: number }
  | { do: "meanwhile"; world: number; other: number; state: number; writes: [Write[], Write[]]; ops: Op[] };

/** No links beside each other: a state has none, so whether a revert keeps them is not said. Nobody but root reads what is shut. */
const ops = program(6).map((all) =>
  all.filter(({ op }) => op !== "hardlink").map((op) => ("mode" in op ? { ...op, mode: op.mode | 0o700 } : op)),
);
const world = fc.nat(7);
const state = fc.nat(30);
const writes: fc.Arbitrary<Write[]> = fc.array(
  fc.tuple(fc.nat(5), fc.constantFrom("a", "b", "w", "new\nline"), fc.string({ maxLength: 20 })),
  { minLength: 5, maxLength: 40 },
);
export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant("work" as const), world, ops }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("capture" as const), world }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("reopen" as const), world }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("fork" as const), world, state }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("revert" as const), world, state }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant("meanwhile" as const),
        world,
        other: world,
        state,
        writes: fc.tuple(writes, writes),
        ops,
      }),
    },
  ),
  { minLength: 3, maxLength: 9 },
);

/** What a writer does, in a thread of its own, and beside the model by itself: so it needs nothing that is not given. */
const write = (files: typeof fs, root: string, all: Write[]): void => {
  for (const [kind, name, content] of all) {
    const at = `${root}/${name}`;
    try {
      if (kind === 0) files.appendFileSync(at, content);
      else if (kind === 1) files.writeFileSync(at, content, { flag: "r+" });
      else if (kind === 2) {
        files.writeFileSync(`${root}/draft`, content);
        files.renameSync(`${root}/draft`, at);
      } else if (kind === 3) {
        files.mkdirSync(`${root}/d/${name}`, { recursive: true });
        files.writeFileSync(`${root}/d/${name}/f`, content);
      } else if (kind === 4) files.rmSync(`${root}/d`, { recursive: true, force: true });
      else files.renameSync(`${root}/d`, at);
    } catch {
      // What is not possible as things stand is possible nowhere.
    }
  }
};

/** Two threads that write, one for each of two worlds. */
export interface Writers {
  write(which: 0 | 1, root: string, all: Write[]): Promise<void>;
  end(): Promise<void>;
}

export function startWriters(): Writers {
  const code = `const { parentPort } = require("node:worker_threads"); const fs = require("node:fs"); const write = ${write};
parentPort.on("message", ({ root, all }) => { write(fs, root, all); parentPort.postMessage(0); });`;
  const workers = [0, 1].map(() => new Worker(code, { eval: true }));
  return {
    write: (which, root, all) =>
      new Promise((resolve, reject) => {
        const worker = workers[which]!;
        worker.once("error", reject);
        worker.once("message", () => {
          worker.off("error", reject);
          resolve();
        });
        worker.postMessage({ root, all });
      }),
    end: async () => void (await Promise.all(workers.map((worker) => worker.terminate()))),
  };
}

const b = (path: string): Buffer => Buffer.from(path, "latin1");
type Snapshot = ReadonlyMap<string, Seen>;

/** Sets the plain directory to what was seen once. */
function put(root: string, seen: Snapshot): void {
  fs.chmodSync(root, 0o700);
  for (const name of fs.readdirSync(root, "latin1")) wipe(`${root}/${name}`);
  const paths = [...seen.keys()].sort();
  for (const path of paths) {
    const [at, { type, bytes, mode }] = [b(`${root}/${path}`), seen.get(path)!];
    if (type === "link") fs.symlinkSync(b(bytes), at);
    else if (type === "dir" && path !== "") fs.mkdirSync(at);
    else if (type === "file") {
      fs.writeFileSync(at, b(bytes));
      fs.chmodSync(at, mode);
    }
  }
  for (const path of paths.reverse()) {
    const { type, mode } = seen.get(path)!;
    if (type === "dir") fs.chmodSync(b(`${root}/${path}`), mode);
  }
}

const ROOTS = { files: {} };
interface Side {
  world: World<"files">;
  id: string;
  plain: string;
}
const both = (root: string) => withoutTimes(restorable(look(root)));

/** Runs a program, and holds each world against its plain directory after each step. */
export async function runProgram(garage: Garage, place: string, all: readonly Step[], writers: Writers): Promise<void> {
  const objects: Objects = memoryObjects();
  const driver = garage.driver(objects);
  const sides: Side[] = [];
  const states: { files: Captured; seen: Snapshot; of: string }[] = [];
  const begin = async (id: string, from: (typeof states)[number] | null): Promise<Side> => {
    const plain = `${place}/${id}`;
    fs.mkdirSync(plain, { mode: 0o700 });
    if (from) put(plain, from.seen);
    const like = from?.of;
    const opened = await driver.open({ id, roots: ROOTS, state: from ? { files: from.files } : {}, like, family: "f" });
    const side = { world: opened, id, plain };
    sides.push(side);
    return side;
  };
  const same = (side: Side): void => expect(both(side.world.paths.files), side.id).toEqual(both(side.plain));
  const keep = async (side: Side): Promise<void> => {
    const { files } = await side.world.capture();
    states.push({ files, seen: look(side.plain), of: side.id });
  };
  const work = (side: Side, ops: readonly Op[]): void => {
    for (const root of [side.world.paths.files, side.plain]) run(root, ops);
  };
  const revert = async (side: Side, to: (typeof states)[number]): Promise<void> => {
    await side.world.restore({ files: to.files });
    put(side.plain, to.seen);
  };
  await keep(await begin("w0", null));
  for (const step of all) {
    const side = sides[step.world % sides.length]!;
    if (step.do === "work") work(side, step.ops);
    else if (step.do === "reopen") {
      await side.world.close();
      side.world = await driver.open({ id: side.id, roots: ROOTS, state: {}, family: "f" });
    } else if (step.do === "capture") await keep(side);
    else {
      const to = states[step.state % states.length]!;
      if (step.do === "revert") await revert(side, to);
      else if (step.do === "fork") same(await begin(`w${sides.length}`, to));
      else {
        // Two write without a pause; one of them is captured in the midst of it, and a third is forked, works and goes back.
        const other = sides[step.other % sides.length]!;
        const writing: Promise<void>[] = [writers.write(0, side.world.paths.files, step.writes[0])];
        if (other !== side) writing.push(writers.write(1, other.world.paths.files, step.writes[1]));
        const midst = side.world.capture();
        const third = await begin(`w${sides.length}`, to);
        work(third, step.ops);
        await keep(third);
        await revert(third, to);
        await Promise.all([midst, ...writing]);
        write(fs, side.plain, step.writes[0]);
        if (other !== side) write(fs, other.plain, step.writes[1]);
        // What was seen in the midst of it is a state like others.
        const seen = await driver.open({ id: `m${sides.length}`, roots: ROOTS, state: await midst, family: "f" });
        expect((await seen.capture()).files.tree).toBe((await midst).files.tree);
        await seen.close();
      }
    }
    for (const each of sides) same(each);
  }
  // What each holds at last is in its state, and whoever is opened there has it.
  for (const side of [...sides]) {
    await keep(side);
    const last = states.at(-1)!;
    const fork = await driver.open({ id: `end.${side.id}`, roots: ROOTS, state: { files: last.files }, family: "f" });
    expect(both(fork.paths.files)).toEqual(both(side.plain));
    await fork.close();
  }
  for (const { world: each } of sides) await each.close();
}

/** With a directory for the drivers and one for the plain ones. */
export const withRoom = (body: (place: string, plain: string) => Promise<void>): Promise<void> =>
  inTemporary((place) => inTemporary((plain) => body(place, plain)));
