/** Real processes that share a store, and are killed with SIGKILL at any moment. */
import { mkdirSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { buildChildren, type Child } from "../../test/support/children.ts";
import { long, runs, seed } from "../../test/support/runs.ts";
import { randomFrom } from "../../test/support/simdisk.ts";
import { linksIn, target } from "./bytes.ts";
import { frameHash } from "./chain.ts";
import { realDisk } from "./disk.ts";
import type { Hash } from "./ports.ts";
import { openRefs } from "./refs.ts";
import { newLogId, openStore } from "./store.ts";

const children = buildChildren();
afterAll(() => children.end());

const LIMIT = long ? 900_000 : 60_000;
const until = async (done: () => boolean): Promise<void> => {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 2));
};

test(
  "what a process was told to be written is there after it was killed, and its successor goes on",
  async () => {
    const random = randomFrom(seed);
    const directory = `${children.directory}/kill`;
    const store = await openStore(directory);
    const logs = [newLogId(), newLogId(), newLogId()];
    const told = new Map<string, Map<number, Hash>>();
    for (const log of logs) {
      await store.logs.create({ v: 1, type: "log", id: log, origin: null, meta: {} });
      told.set(log, new Map());
    }
    const writers: Child[] = logs.map((log) => children.start("write", directory, log));
    const collect = (log: string, { lines }: Child): void => {
      for (const line of lines) {
        const [seq, hash] = line.split(" ");
        if (hash) told.get(log)!.set(Number(seq), hash);
      }
    };
    for (let kills = runs(60, 6); kills > 0; kills--) {
      const victim = Math.floor(random() * logs.length);
      const child = writers[victim]!;
      const some = child.lines.length + 1 + Math.floor(random() * 40);
      await until(() => child.lines.length > some || child.process.exitCode !== null);
      child.process.kill("SIGKILL");
      expect(await child.ended).toBeNull();
      collect(logs[victim]!, child);
      writers[victim] = children.start("write", directory, logs[victim]!);
    }
    for (const child of writers) {
      await until(() => child.lines.length > 5 || child.process.exitCode !== null);
      child.process.kill("SIGKILL");
      await child.ended;
    }
    for (const [i, child] of writers.entries()) collect(logs[i]!, child);

    for (const log of logs) {
      const there = new Map<number, Hash>();
      for await (const frame of store.logs.read(log)) {
        there.set(frame.seq, frameHash(frame));
        for (const each of linksIn(frame)) expect((await store.objects.get(target(each)))?.length).toBeDefined();
      }
      expect(told.get(log)!.size).toBeGreaterThan(0);
      for (const [seq, hash] of told.get(log)!) expect(there.get(seq)).toBe(hash);
    }
    await store.close();
  },
  LIMIT,
);

test(
  "of two hundred increments by fifty processes at once none is lost, while files of refs roll over",
  async () => {
    const directory = `${children.directory}/refs`;
    mkdirSync(directory);
    const processes = Array.from({ length: 50 }, () => children.start("increment", directory, "4", "1500"));
    for (const child of processes) expect(await child.ended).toBe(0);
    const refs = await openRefs(realDisk, directory, "refs");
    expect(await refs.get("n")).toEqual({ value: "200", version: 200 });
    expect(realDisk.list(directory).some((name) => /^refs\.[0-9]+$/.test(name) && Number(name.slice(5)) > 3)).toBe(
      true,
    );
    expect(realDisk.list(directory).length).toBeLessThan(4);
    refs.close();
  },
  LIMIT,
);
