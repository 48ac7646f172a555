/** Reading many objects in about the order in which they were put: a stretch of a pack is read at once. */
import type { PackedObjects } from "./objects.ts";
import { type Pack, unpack } from "./pack.ts";
import type { Objects } from "./ports.ts";
import { RECORD_HEAD } from "./record.ts";

const STRETCH = 128 << 10;
/** Who jumps further than this reads here and there, and gets no more than was asked for. */
const NEAR = 64 << 10;

/** As `objects.get`. For one piece of work, and not longer: what it has read ahead it gives also if it was forgotten meanwhile. */
export function readAhead(objects: PackedObjects): Pick<Objects, "get"> {
  let pack: Pack | null = null;
  let from = 0;
  let bytes: Buffer = Buffer.alloc(0);
  const payload = (of: Pack, offset: number, length: number): Buffer => {
    const end = from + bytes.length;
    if (of !== pack || offset < from || offset + RECORD_HEAD + length > end) {
      const near = of === pack && offset >= from - NEAR && offset <= end + NEAR;
      bytes = of.segment.payload(offset - RECORD_HEAD, RECORD_HEAD + (near ? Math.max(length, STRETCH) : length));
      pack = of;
      from = offset;
    }
    return bytes.subarray(offset + RECORD_HEAD - from, offset + RECORD_HEAD - from + length);
  };
  return {
    get: async (id) => {
      const found = objects.locate(id);
      if (found) {
        const object = unpack(payload(found.pack, found.place.offset, found.place.length), id);
        if (object && object !== "forgotten") return object;
      }
      // What is damaged here may lie whole elsewhere.
      return objects.get(id);
    },
  };
}
