import { spawn } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import { expect, test } from "vitest";
import { simDisk } from "../../test/support/simdisk.ts";
import { leasesOver } from "./leases.ts";
import { alive, isOwner, sameOwner, thisOwner } from "./owner.ts";
import type { Owner } from "./ports.ts";
import { openRefs } from "./refs.ts";

const linux = process.platform === "linux";
const startOf = (pid: number): string =>
  readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)!.split(" ")[19]!;

test("this process lives, and no other that has its pid at another time, in another boot", () => {
  const me = thisOwner();
  expect(isOwner(me)).toBe(true);
  expect(alive(me)).toBe(true);
  expect(sameOwner(me, { ...me })).toBe(true);
  for (const other of [
    { ...me, boot: "other" },
    { ...me, start: "1" },
    { ...me, pid: 2 ** 22 + 1 },
  ]) {
    expect(alive(other)).toBe(false);
    expect(sameOwner(me, other)).toBe(false);
  }
});

test.runIf(linux)("a process lives until it is killed, and not as a zombie", async () => {
  const child = spawn("sleep", ["100"]);
  await new Promise((resolve) => child.once("spawn", resolve));
  const owner: Owner = { ...thisOwner(), pid: child.pid!, start: startOf(child.pid!) };
  expect(alive(owner)).toBe(true);
  child.kill("SIGSTOP");
  expect(alive(owner)).toBe(true);
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("exit", resolve));
  expect(alive(owner)).toBe(false);
  // It ends when its parent has become a program that waits for nobody.
  const parent = spawn("sh", ["-c", "sleep 1 & echo $!; exec sleep 100"], { stdio: ["ignore", "pipe", "ignore"] });
  const pid = Number(await new Promise((resolve) => parent.stdout.once("data", (text) => resolve(String(text)))));
  const zombie = (): boolean => / Z /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  while (!zombie()) await new Promise((resolve) => setTimeout(resolve, 2));
  expect(alive({ ...thisOwner(), pid, start: startOf(pid) })).toBe(false);
  parent.kill("SIGKILL");
});

test.runIf(linux)("a process of another pid namespace is only taken for dead where all of them can be seen", () => {
  const me = thisOwner();
  const below: Owner = { ...me, ns: "pid:[1]" };
  const gone: Owner = { ...below, start: "1" };
  expect(alive(below)).toBe(true);
  expect(alive(gone)).toBe(readlinkSync("/proc/self/ns/pid") !== "pid:[4026531836]");
});

test("a lease that says nonsense is told, and given to nobody", async () => {
  const disk = simDisk();
  const refs = await openRefs(disk, "/s", "leases", false);
  const leases = leasesOver(refs);
  const values = [
    "",
    "[]",
    "{}",
    '{"epoch":1}',
    '{"epoch":"1","owner":null}',
    '{"epoch":1,"owner":{"pid":1}}',
    '{"epoch":1e300,"owner":null}',
  ];
  for (const [i, value] of values.entries()) {
    await refs.cas(`k${i}`, 0, value);
    for (const work of [
      leases.acquire(`k${i}`),
      leases.holder(`k${i}`),
      leases.renew(`k${i}`, 1),
      leases.release(`k${i}`, 1),
    ])
      await expect(work).rejects.toThrow(/cannot be read: run `shepherd fsck`\.$/);
  }
});
