/** The objects that hold a file's bytes. */
import type { Hash, Objects } from "../trace/ports.ts";
import { decodeChunks } from "./content.ts";
import { missing } from "./missing.ts";
import type { Entry } from "./tree.ts";

/** Ids of the objects with the bytes of a file or link; for a large file those of its chunks. */
export async function readContentIds(objects: Objects, entry: Entry): Promise<Hash[]> {
  if (entry.type !== "F") return [entry.id];
  return decodeChunks((await objects.get(entry.id)) ?? missing(entry.id, "list of chunks")).ids;
}
