/** Processes that never stop writing while their files are captured. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import { agentRig, type Rig } from "../../test/support/agent-rig.ts";
import { runs } from "../../test/support/runs.ts";
import { until } from "../../test/support/user.ts";
import { target } from "../trace/bytes.ts";
import { readContent } from "../world/content.ts";
import { readTree } from "../world/tree.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await agentRig({ "a.txt": "a\n" });
});
afterEach(() => rig.end());

const SLOTS = 64;
const SIZE = 1024;
/** Writes record after record, each into another of 64 places, far from the last; half of them through a mapping. A record has a number, filling, and a checksum. */
const writer = `import mmap, os, sys, zlib
name, mapped = sys.argv[1], sys.argv[2] == "1"
fd = os.open(name, os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, ${SLOTS * SIZE})
page = mmap.mmap(fd, ${SLOTS * SIZE}) if mapped else None
n = 0
while True:
    n += 1
    body = n.to_bytes(8, "little") + bytes([n % 251]) * ${SIZE - 12}
    record = body + zlib.crc32(body).to_bytes(4, "little")
    at = (n * 37 % ${SLOTS}) * ${SIZE}
    if mapped: page[at:at + ${SIZE}] = record
    else: os.pwrite(fd, record, at)
`;

/** The numbers of the records in a file, by their places; null for one that is there by half. */
const recordsIn = (bytes: Buffer): (number | null)[] =>
  Array.from({ length: SLOTS }, (_, slot) => {
    const record = bytes.subarray(slot * SIZE, (slot + 1) * SIZE);
    const n = Number(record.readBigUInt64LE(0));
    return n === 0 || crc32(record.subarray(0, SIZE - 4)) === record.readUInt32LE(SIZE - 4) ? n : null;
  });

test.skipIf(spawnSync("python3", ["--version"]).status !== 0)(
  "of eight that never stop, also through mappings, a capture has what each had written at one moment",
  async () => {
    const scope = await rig.start();
    const files = scope.files!;
    const sandbox = await files.sandbox();
    const names = Array.from({ length: 8 }, (_, i) => `f${i}`);
    const isMapped = (name: string): boolean => names.indexOf(name) % 2 === 1;
    const start = names.map((name) => `python3 -c "$0" ${name} ${Number(isMapped(name))} >/dev/null 2>&1 &`).join("\n");
    await sandbox.exec({ argv: ["bash", "-c", start, writer] });
    const started = (name: string): boolean =>
      fs.existsSync(join(files.host, name)) && fs.readFileSync(join(files.host, name)).some((byte) => byte > 0);
    await until(() => names.every(started));
    expect(await sandbox.inside({ left: true })).toHaveLength(8);
    let before = new Map<string, number>();
    for (let round = 0; round < runs(100, 12); round++) {
      const { entries } = await readTree(rig.store.objects, target((await files.capture()).workspace));
      const newest = new Map<string, number>();
      for (const { name, type, id } of entries) {
        if (!names.includes(String(name))) continue;
        const pieces: Uint8Array[] = [];
        for await (const piece of readContent(rig.store.objects, type as "f" | "F", id)) pieces.push(piece);
        const all = recordsIn(Buffer.concat(pieces));
        const last = Math.max(...all.map((n) => n ?? 0));
        for (const [slot, n] of all.entries()) {
          // A copy in memory, which no call of the kernel does as a whole, is where its process stood still.
          if (n === null) expect([isMapped(String(name)), slot]).toEqual([true, ((last + 1) * 37) % SLOTS]);
          // 45 x 37 is 1 more than a multiple of 64: so the newest for this place is told by its number.
          else expect(n).toBe(Math.max(0, last - ((last - slot * 45 + SLOTS * SIZE) % SLOTS)));
        }
        newest.set(String(name), last);
      }
      expect([...newest.keys()].sort()).toEqual(names);
      // All of them have gone on.
      for (const [name, n] of before) expect(newest.get(name)).toBeGreaterThan(n);
      before = newest;
      const goesOn = ([name, n]: [string, number]): boolean =>
        Math.max(...recordsIn(fs.readFileSync(join(files.host, name))).map((each) => each ?? 0)) > n;
      await until(() => [...before].every(goesOn));
    }
    await sandbox.killAll();
  },
  60_000,
);
