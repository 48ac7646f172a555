/** Objects that are named and cannot be read, and damaged ones that nothing needs. */
import { parseLink, target } from "./bytes.ts";
import { because, error, type Finding, note, ONE_BIT, quoted, warning } from "./finding.ts";
import type { Broken, Inventory } from "./inventory.ts";
import type { Hash, Link } from "./ports.ts";
import { idKey, type Trouble } from "./reach.ts";

/** Where a link was found from which others were followed: a frame, the header of a log, a ref. */
export interface Referrer {
  log?: string;
  seq?: number;
  ref?: string;
}

export type Lost = Trouble & { by: Referrer };

/** @param made what follows from the logs, by `idKey` */
export function* lostObjects(
  objects: Inventory,
  troubles: ReadonlyMap<Link, Lost>,
  made: ReadonlySet<string>,
): Generator<Finding> {
  const records = new Map(objects.broken.filter(({ id }) => id).map((each) => [each.id!, each]));
  const told = new Set<Hash>();
  for (const trouble of troubles.values()) {
    const { kind, id } = parseLink(trouble.link)!;
    // A part of a conversation that is computed anew from its log.
    if (kind === "items" && trouble.what !== "malformed" && made.has(idKey(id))) continue;
    told.add(id);
    yield lost(trouble, records.get(id));
  }
  for (const record of objects.broken) {
    const { id, file, offset, end } = record;
    if (id && told.has(id) && records.get(id) === record) continue;
    const why = id && objects.read(id) instanceof Uint8Array ? "which is there a second time" : "which nothing names";
    const what = id ? `The object ${id}, ${why},` : `What was in bytes ${offset} to ${end}`;
    const repair = record.fix ? ONE_BIT : "`shepherd gc` removes it in time.";
    yield warning("object", placeOf(record), `${what} is damaged in ${file} at byte ${offset}.`, repair);
  }
}

/** Damage in packs of which all can be computed anew. */
export function* lostCache({ broken }: Inventory): Generator<Finding> {
  for (const record of broken) {
    const text = `${record.id ? `The object ${record.id}` : "A record"} of the cache is damaged in ${record.file} at byte ${record.offset}.`;
    yield warning("object", placeOf(record), text, "Delete cache/derived: it is computed anew.");
  }
}

function lost({ link, what, from, why, by }: Lost, record: Broken | undefined): Finding {
  const { kind, id } = parseLink(link)!;
  const { log, seq } = by;
  const at = { ...(log && { log }), ...(seq !== undefined && { seq }), id };
  const path = `${from ? `the ${parseLink(from)!.kind} ${target(from)}, reached from ` : ""}${inWords(by)}`;
  const named = `The ${kind} ${id}, named by ${path},`;
  if (what === "forgotten") return note("forgotten", at, `${named} was forgotten on request.`);
  if (what === "malformed") return error("malformed", at, `${named} is none: ${because(why)}`);
  if (record) {
    const repair = record.fix
      ? ONE_BIT
      : "Put back a copy of the file, or record the same content again: it is stored anew then.";
    return error(
      "object",
      { ...placeOf(record), ...at },
      `${named} is damaged in ${record.file} at byte ${record.offset}.`,
      repair,
    );
  }
  if (what === "damaged") return error("object", at, `${named} has not the content that its id says.`);
  if (kind === "items") return error("missing", at, `${named} follows from no log in this store.`);
  return error("missing", at, `${named} is not in this store.`, "Put back a copy of the pack that held it.");
}

const placeOf = ({ file, offset, id, fix }: Broken) => ({ file, offset, ...(id && { id }), ...(fix && { fix }) });

const inWords = ({ log, seq, ref }: Referrer): string => {
  if (ref !== undefined) return `the ref ${quoted(ref)}`;
  return seq === undefined ? `the header of log ${log}` : `frame ${seq} of log ${log}`;
};
