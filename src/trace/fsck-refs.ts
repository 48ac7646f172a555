/** Checks the files of names and leases, and the small files beside them. */
import { decodeJson } from "./bytes.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { pieces } from "./examine.ts";
import { type Finding, headingFinding, ONE_BIT, quoted } from "./finding.ts";
import { unflip } from "./flip.ts";
import { isOwner } from "./owner.ts";
import type { Json } from "./ports.ts";
import { MAX_RECORD, RECORD_HEAD } from "./record.ts";
import { FORMAT } from "./segment.ts";

/** What stands in the newest file `name.N`, and what is wrong with it. The values are those that count, also behind damage. */
export function* checkRefFile(disk: Disk, directory: string, name: string, values: Map<string, string>): Generator<Finding> {
  const numbers = disk
    .list(directory)
    .filter((each) => each.startsWith(`${name}.`) && /^[1-9]\d{0,14}$/.test(each.slice(name.length + 1)))
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
  if (!start.toString("latin1").startsWith(heading)) yield headingFinding(path, name, start, "error");
  const versions = new Map<string, number>();
  let closed = false;
  const take = ({ ref, version, next, id }: Change): string | null => {
    const before = versions.get(ref) ?? 0;
    if (closed || version <= before) return null;
    versions.set(ref, version);
    if (next === null) values.delete(ref);
    else values.set(ref, next);
    return id !== "" && version > before + 1 ? `Changes ${before + 1} to ${version - 1} of ${quoted(ref)} are missing in ${path}.` : null;
  };
  for (const piece of pieces(file, heading.length)) {
    const at = { file: path, offset: piece.offset };
    if (piece.what === "record") {
      const change = parseChange(piece.payload);
      if (typeof change === "string")
        yield { severity: "error", what: "ref", ...at, text: `The record at byte ${piece.offset} of ${path} ${change}.` };
      else if (change) {
        const gap = take(change);
        if (gap) yield { severity: "warning", what: "ref", ...at, text: gap };
      } else closed = true;
    } else if (piece.shape === "torn") {
      yield { severity: "note", what: "torn", ...at, text: `${path} has an unfinished record at byte ${piece.offset}: a process was killed, or is just writing.` };
    } else {
      const length = piece.end - piece.offset;
      const flip = length > MAX_RECORD + RECORD_HEAD ? null : unflip(file.read(piece.offset, length));
      const change = flip ? parseChange(flip.record.subarray(RECORD_HEAD)) : "";
      const of = change && typeof change === "object" ? ` of ${quoted(change.ref)}` : "";
      yield {
        severity: "error",
        what: "ref",
        ...at,
        text: `A change${of} in ${path} is damaged (bytes ${piece.offset} to ${piece.end}) and does not count.`,
        repair: flip ? ONE_BIT : "Look whether all names stand for what they should (`shepherd status`).",
        ...(flip && { fix: { file: path, offset: piece.offset + flip.at, byte: flip.byte } }),
      };
      // As it was: else each later change would be told to follow on a missing one.
      if (change && typeof change === "object") take(change);
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
  let value: Json;
  try {
    value = decodeJson(payload);
  } catch (error) {
    return `is not JSON: ${(error as Error).message}`;
  }
  if (!value || typeof value !== "object" || Array.isArray(value)) return "is no change of a ref";
  if ("closed" in value) return null;
  const { ref, version, next, id } = value;
  if (typeof ref !== "string" || typeof id !== "string" || (next !== null && typeof next !== "string")) return "is no change of a ref";
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
    yield {
      severity: "error",
      what: "lease",
      text: `The lease ${quoted(key)} says ${quoted(value)}, which is none.`,
      repair: "When no Shepherd runs on this store, delete its files leases.*: nobody holds a lease then.",
    };
  }
}

/** The log that a ref with this value stands for: the value is its id, or JSON with it as `log`. */
export function logOfRef(value: string): string | null {
  const parsed = tryJson(value);
  const log = parsed && typeof parsed === "object" && !Array.isArray(parsed) ? parsed.log : value;
  return typeof log === "string" && /^[0-9a-f]{32}$/.test(log) ? log : null;
}

function tryJson(text: string): Json | null {
  try {
    return decodeJson(Buffer.from(text));
  } catch {
    return null;
  }
}
