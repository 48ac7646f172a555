import * as fs from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { expect, test } from "vitest";
import { fastDisk } from "../../test/support/fast-disk.ts";
import { mutate, mutations } from "../../test/support/mutate.ts";
import { long, params } from "../../test/support/runs.ts";
import { buildTraces, followers, ops, reachableFromLogs } from "../../test/support/traces.ts";
import { linksIn, parseLink, sha256 } from "./bytes.ts";
import { counted, openLogFile } from "./chain.ts";
import { type DiskFile, realDisk } from "./disk.ts";
import { pieces } from "./examine.ts";
import { type Finding, fsck, mend } from "./fsck.ts";
import { LOG_HEADING, logPath, logPieces } from "./logfile.ts";
import { unpack } from "./pack.ts";
import type { Link } from "./ports.ts";
import { scan } from "./record.ts";
import { openStore } from "./store.ts";

const LIMIT = long ? 1_800_000 : 60_000;

async function inStore(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = fs.mkdtempSync(`${tmpdir()}/shepherd-fsck-`);
  try {
    await work(`${directory}/store`);
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

async function check(directory: string, full = false): Promise<Finding[]> {
  const found: Finding[] = [];
  for await (const finding of fsck({ disk: realDisk, directory }, { followers, full })) found.push(finding);
  return found;
}

test(
  "a store in which nothing is wrong has no errors and no warnings, whatever was done in it",
  async () => {
    await fc.assert(
      fc.asyncProperty(ops(20), fc.boolean(), async (script, full) => {
        await inStore(async (directory) => {
          const store = await openStore(directory, { disk: fastDisk });
          const traces = await buildTraces(store, script);
          await traces.close();
          await store.close();
          const wrong = (await check(directory, full)).filter(({ severity }) => severity !== "note");
          expect(wrong).toEqual([]);
        });
      }),
      params(400),
    );
  },
  LIMIT,
);

/** What a bit of a log or a pack belongs to, and what must be said of it when it is flipped. */
interface Spot {
  file: string;
  offset: number;
  end: number;
  wanted: Partial<Finding>;
}

/** Hashes of the frames that count. */
function countingFrames(directory: string, log: string): Set<string> {
  const { segment, first } = openLogFile(realDisk, logPath(directory, log), log)!;
  const hashes = [...counted(segment, first)].map(({ cursor }) => cursor.prev);
  segment.close();
  return new Set(hashes);
}

/** Every record of every log and pack. */
function spotsOf(directory: string, live: ReadonlySet<string>): Spot[] {
  const spots: Spot[] = [];
  const each = (name: string, visit: (file: DiskFile) => void): void => {
    const file = realDisk.open(`${directory}/${name}`)!;
    visit(file);
    file.close();
  };
  for (const name of fs.readdirSync(`${directory}/logs`)) {
    const log = name.replace(".log", "");
    const file = `logs/${name}`;
    each(file, (open) => {
      spots.push({ file, offset: 0, end: LOG_HEADING.length, wanted: { severity: "error", what: "heading", log } });
      const counting = countingFrames(directory, log);
      for (const piece of logPieces(open)) {
        const { offset, end } = piece;
        if (piece.what === "header")
          spots.push({ file, offset, end, wanted: { severity: "error", what: "header", log } });
        if (piece.what === "frame") {
          const severity = counting.has(piece.hash) ? "error" : "warning";
          spots.push({ file, offset, end, wanted: { severity, what: "frame", log, seq: piece.frame.seq } });
        }
      }
    });
  }
  for (const name of fs.readdirSync(`${directory}/objects`).filter((each) => each.endsWith(".pack"))) {
    const file = `objects/${name}`;
    each(file, (open) => {
      const heading = "shepherd pack 1\n".length;
      spots.push({ file, offset: 0, end: heading, wanted: { severity: "error", what: "heading", file } });
      for (const piece of pieces(open, heading)) {
        if (piece.what !== "record") continue;
        const id = piece.payload.toString("hex", 0, 32);
        spots.push({
          file,
          offset: piece.offset,
          end: piece.end,
          wanted: { severity: live.has(id) ? "error" : "warning", what: "object", id },
        });
      }
    });
  }
  return spots;
}

function flip(path: string, bit: number): void {
  const bytes = fs.readFileSync(path);
  bytes[bit >> 3]! ^= 1 << (bit & 7);
  fs.writeFileSync(path, bytes);
}

test(
  "one flipped bit in any log or pack is found, named exactly, and can be set right",
  async () => {
    await fc.assert(
      fc.asyncProperty(
        ops(12),
        fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 30, maxLength: 30 }),
        async (script, flips) => {
          await inStore(async (directory) => {
            const store = await openStore(directory, { disk: fastDisk });
            const traces = await buildTraces(store, script);
            const live = await reachableFromLogs(store);
            await traces.close();
            await store.close();
            const spots = spotsOf(directory, live);
            for (const [which, where] of flips) {
              const { file, offset, end, wanted } = spots[which % spots.length]!;
              const bit = offset * 8 + (where % ((end - offset) * 8));
              const path = `${directory}/${file}`;
              const before = fs.readFileSync(path);
              flip(path, bit);
              const found = (await check(directory)).filter(({ severity }) => severity !== "note");
              expect(found).toContainEqual(expect.objectContaining({ ...wanted, fix: expect.anything() }));
              // Whatever else is said follows from it.
              const named = found.find((finding) => finding.fix)!;
              await mend({ disk: realDisk, directory }, named);
              expect(fs.readFileSync(path).equals(before)).toBe(true);
            }
          });
        },
      ),
      params(60, 4),
    );
  },
  LIMIT,
);

/** What can be read of a store by the simplest means, to compare with: objects, frames that count, and what these name and is not there. */
function look(directory: string): {
  frames: Map<string, Set<string>>;
  intact: Map<string, Set<string>>;
  missing: Set<string>;
} {
  const objects = new Map<string, Uint8Array | "forgotten">();
  const frames = new Map<string, Set<string>>();
  const intact = new Map<string, Set<string>>();
  const missing = new Set<string>();
  const namesOf = (folder: string, end: string): string[] =>
    fs.existsSync(`${directory}/${folder}`) && fs.statSync(`${directory}/${folder}`).isDirectory()
      ? fs.readdirSync(`${directory}/${folder}`).filter((name) => name.endsWith(end))
      : [];
  const records = (path: string, from: number, visit: (payload: Buffer) => void): void => {
    try {
      const file = realDisk.open(path);
      if (!file) return;
      for (const { payload } of scan(file, from)) visit(payload);
      file.close();
    } catch {
      // Nothing there, then.
    }
  };
  for (const name of namesOf("objects", ".pack")) {
    if (!/^\d{6}\.pack$/.test(name)) continue;
    records(`${directory}/objects/${name}`, 16, (payload) => {
      const id = payload.toString("hex", 0, 32);
      const bytes = unpack(payload, id);
      if (bytes && (bytes !== "forgotten" || !objects.has(id))) objects.set(id, bytes);
    });
  }
  const queue: Link[] = [];
  for (const name of namesOf("logs", ".log")) {
    const log = name.slice(0, -4);
    if (!/^[0-9a-f]{32}$/.test(log)) continue;
    const hashes = new Set<string>();
    records(`${directory}/logs/${name}`, LOG_HEADING.length, (payload) => hashes.add(sha256(payload)));
    intact.set(log, hashes);
    frames.set(log, new Set());
    try {
      const { segment, header, first } = openLogFile(realDisk, logPath(directory, log), log)!;
      queue.push(...linksIn(header));
      for (const { frame, cursor } of counted(segment, first)) {
        frames.get(log)!.add(cursor.prev);
        queue.push(...linksIn(frame));
      }
      segment.close();
    } catch {
      // A log that no reader opens.
    }
  }
  const seen = new Set<Link>();
  for (let at = queue.pop(); at; at = queue.pop()) {
    if (seen.has(at) || at.startsWith("items:")) continue;
    seen.add(at);
    const { kind, id } = parseLink(at)!;
    const bytes = objects.get(id);
    if (!bytes) missing.add(id);
    else if (kind !== "blob" && bytes !== "forgotten") {
      try {
        queue.push(...followers[kind](bytes));
      } catch {
        missing.add(id);
      }
    }
  }
  return { frames, intact, missing };
}

test(
  "whatever was done to the files, the check ends, and names each object that lacks and each log that lost frames",
  async () => {
    await fc.assert(
      fc.asyncProperty(
        ops(10),
        fc.array(mutations(4), { minLength: 8, maxLength: 8 }),
        fc.boolean(),
        async (script, all, full) => {
          await inStore(async (directory) => {
            const store = await openStore(directory, { disk: fastDisk });
            const traces = await buildTraces(store, script);
            await store.derived.sync();
            await traces.close();
            await store.close();
            const before = look(directory);
            for (const [i, some] of all.entries()) {
              const copy = `${directory}.${i}`;
              fs.cpSync(directory, copy, { recursive: true });
              for (const each of some) mutate(copy, each);
              const found = await check(copy, full);
              const errors = found.filter(({ severity }) => severity === "error");
              const after = look(copy);
              for (const id of after.missing) expect(errors.map((each) => each.id)).toContain(id);
              for (const [log, hashes] of before.frames) {
                const counts = after.frames.get(log);
                // Frames that are there whole and do not count any more.
                const stranded = [...hashes].filter((hash) => after.intact.get(log)?.has(hash) && !counts?.has(hash));
                if (stranded.length > 0) expect(errors.map((each) => each.log)).toContain(log);
              }
              for (const { text } of found) expect(text).toMatch(/^[^\n]+\.$/);
              fs.rmSync(copy, { recursive: true });
            }
          });
        },
      ),
      { ...params(300, 5), endOnFailure: true },
    );
  },
  LIMIT,
);
