/** What stands in a pack in place of an object whose bytes were destroyed. */
import { TOMBSTONE } from "./pack.ts";
import { KEY } from "./packindex.ts";
import type { Hash } from "./ports.ts";

/** The payload of a tombstone's record: `length` bytes, those behind hash and codec zero. */
export function tombstone(id: Hash, length = KEY + 1): Buffer {
  const payload = Buffer.alloc(length);
  payload.write(id, 0, "hex");
  payload[KEY] = TOMBSTONE;
  return payload;
}
