/** Checks the files of names and leases. */
import { decodeJson } from "./bytes.ts";
import { isLogId } from "./chain.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { pieces } from "./examine.ts";
import { error, type Finding, headingFinding, note, ONE_BIT, quoted, warning } from "./finding.ts";
import { unflip } from "./flip.ts";

import { isOwner } from "./owner.ts";
import type { Json } from "./ports.ts";
import { MAX_RECORD, RECORD_HEAD } from "./record.ts";
import { FORMAT } from "./segment.ts";

/** What is wrong with the newest file `name.N`. What stands in it is put into `values`. */
export function* checkRefFile(
  disk: Disk,
  directory: string,
  name: string,
  values: Map<string, string>,
): Generator<Finding> {
  const numbers = disk
    .list(directory)
    .filter((each) => each.startsWith(`${name}.`) && /^[1-9]\d{0,8}$/.test(each.slice(name.length + 1)))
    .map((each) => Number(each.slice(name.length + 1)));
  if (numbers.length === 0) return;
  const path = `${name}.${Math.max(...numbers)}`;
  const file = disk.open(`${directory}/${path}`);
  if (!file) return;
  try {
    yield* checkRecords(file, path, name, values);
  } finally {
    file.close();
  }
}

function* checkRecords(file: DiskFile, path: string, name: string, values: Map<string, string>): Generator<Finding> {
  const start = file.read(0, 64);
  const heading = `shepherd ${name} ${FORMAT}\n`;
  if (!start.toString("latin1").startsWith(heading)) yield headingFinding(path, name, start);
  const versions = new Map<string, number>();
  let closed = false;
  /** Gives what is missing before the change. */
  const take = ({ ref, version, next, id }: Change): string | null => {
    const before = versions.get(ref) ?? 0;
    if (closed || version <= before) return null;
    versions.set(ref, version);
    if (next === null) values.delete(ref);
    else values.set(ref, next);
    const gap = id !== "" && version > before + 1;
    return gap ? `Changes ${before + 1} to ${version - 1} of ${quoted(ref)} are missing in ${path}.` : null;
  };
  for (const piece of pieces(file, heading.length)) {
    const { offset, end } = piece;
    const at = { file: path, offset };
    if (piece.what === "record") {
      const change = parseChange(piece.payload);
      if (typeof change === "string") yield error("ref", at, `The record at byte ${offset} of ${path} ${change}.`);
      else if (!change) closed = true;
      else {
        const gap = take(change);
        if (gap) yield warning("ref", at, gap);
      }
    } else if (piece.shape === "torn") {
      yield note("torn", at, `${path} has an unfinished record at byte ${offset}, which never counted.`);
    } else {
      const flip = end - offset > MAX_RECORD + RECORD_HEAD ? null : unflip(file.read(offset, end - offset));
      const change = flip && parseChange(flip.record.subarray(RECORD_HEAD));
      const isChange = change && typeof change === "object";
      const fix = flip && { fix: { file: path, offset: offset + flip.at, byte: flip.byte } };
      const text = `A change${isChange ? ` of ${quoted(change.ref)}` : ""} in ${path} is damaged (bytes ${offset} to ${end}) and does not count.`;
      yield error("ref", { ...at, ...fix }, text, fix ? ONE_BIT : "Look whether all names stand for what they should.");
      // As it was: else each later change would be told to follow on a missing one.
      if (isChange) take(change);
    }
  }
}

interface Change {
  ref: string;
  version: number;
  next: string | null;
  id: string;
}

/** A change; null for the record that closes a file; else what is wrong. */
function parseChange(payload: Buffer): Change | string | null {
  const value = tryJson(payload);
  if (!value || typeof value !== "object" || Array.isArray(value)) return "is no change of a ref";
  if (value.closed !== undefined) return null;
  const { ref, version, next, id } = value;
  if (typeof ref !== "string" || typeof id !== "string" || (next !== null && typeof next !== "string"))
    return "is no change of a ref";
  if (!Number.isSafeInteger(version) || (version as number) < 1) return "has no version";
  return { ref, version: version as number, next, id };
}

/** What a lease says must be readable, or nobody can take it. */
export function* checkLeases(values: ReadonlyMap<string, string>): Generator<Finding> {
  for (const [key, value] of values) {
    // How far a log was synced: where that cannot be read, more of it is looked at.
    if (key.startsWith("mark/")) continue;
    const held = tryJson(value);
    if (held && typeof held === "object" && !Array.isArray(held))
      if (Number.isSafeInteger(held.epoch) && (held.owner === null || isOwner(held.owner))) continue;
    yield error(
      "lease",
      {},
      `The lease ${quoted(key)} says ${quoted(value)}, which is none.`,
      "When no Shepherd runs on this store and nothing else is wrong, delete its files leases.*: nobody holds a lease then, and each log is put in order anew.",
    );
  }
}

/** The log that a ref with this value stands for: the value is its id, or JSON with it as `log`. */
export function logOfRef(value: string): string | null {
  const parsed = tryJson(value);
  const log = parsed && typeof parsed === "object" && !Array.isArray(parsed) ? parsed.log : value;
  return typeof log === "string" && isLogId(log) ? log : null;
}

/** The first frame of a log that may be lost since the power failed, as long as the log has not been put in order after that. */
export function unsyncedFrom(mark: string | undefined, boot: string): number {
  const value = mark === undefined ? null : (tryJson(mark) as { boot?: unknown; seq?: unknown } | null);
  if (typeof value?.boot !== "string" || value.boot === boot || !Number.isSafeInteger(value.seq))
    return Number.POSITIVE_INFINITY;
  return value.seq as number;
}

function tryJson(text: string | Buffer): Json | null {
  try {
    return decodeJson(Buffer.from(text));
  } catch {
    return null;
  }
}
