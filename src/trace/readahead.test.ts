import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { sha256 } from "./bytes.ts";
import { realDisk } from "./disk.ts";
import { Forgotten, openObjects } from "./objects.ts";
import { RAW, TOMBSTONE } from "./pack.ts";
import { readAhead } from "./readahead.ts";

let home: string;
afterEach(() => rmSync(home, { recursive: true, force: true }));

test("gives what `get` gives, in whatever order, across packs, for what came later and for what is not whole", async () => {
  home = mkdtempSync(join(tmpdir(), "shepherd-"));
  const objects = await openObjects(realDisk, home, 4000);
  const contents = Array.from({ length: 300 }, (_, i) => Buffer.alloc((i * 7919) % 9000, `${i} of many, `));
  const ids: string[] = [];
  for (const each of contents) ids.push(await objects.put(each));
  expect(objects.packs().length).toBeGreaterThan(1);
  const reader = readAhead(objects);
  const order = [...ids.keys(), ...[...ids.keys()].reverse(), ...ids.map((_, i) => (i * 101) % ids.length)];
  for (const i of order) expect(Buffer.from((await reader.get(ids[i]!))!).equals(contents[i]!)).toBe(true);
  expect(await reader.get(sha256("nothing"))).toBe(null);
  const later = await objects.put(Buffer.from("came later"));
  expect(Buffer.from((await reader.get(later))!).toString()).toBe("came later");

  const spoil = (id: string, codec: number): void => {
    const { pack, place } = objects.locate(id)!;
    const key = Buffer.from(id, "hex");
    pack.segment.overwrite(place.offset, Buffer.concat([key, Buffer.of(codec), Buffer.alloc(place.length - 33)]));
  };
  spoil(ids[10]!, TOMBSTONE);
  await expect(readAhead(objects).get(ids[10]!)).rejects.toThrow(Forgotten);
  spoil(ids[20]!, RAW);
  expect(await readAhead(objects).get(ids[20]!)).toBe(null);
  await objects.close();
});
