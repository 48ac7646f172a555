import { sha256 } from "../../src/trace/bytes.ts";
import { type Hash, MAX_OBJECT, type Objects } from "../../src/trace/ports.ts";

/** Objects in memory. `puts` counts the calls of `put`. */
export interface MemoryObjects extends Objects {
  readonly map: Map<Hash, Uint8Array>;
  puts: number;
}

export function memoryObjects(): MemoryObjects {
  const map = new Map<Hash, Uint8Array>();
  const objects: MemoryObjects = {
    map,
    puts: 0,
    put: async (bytes) => {
      if (bytes.length > MAX_OBJECT) throw new Error(`An object of ${bytes.length} bytes is over the limit.`);
      objects.puts++;
      const id = sha256(bytes);
      // A copy: who puts may use the buffer again.
      if (!map.has(id)) map.set(id, Uint8Array.from(bytes));
      return id;
    },
    get: async (id) => map.get(id) ?? null,
    has: async (ids) => ids.map((id) => map.has(id)),
  };
  return objects;
}
