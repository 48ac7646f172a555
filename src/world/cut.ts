/** Texts as lines that can be compared by a number. */

/** A text cut into lines; each line has its terminator with it. Two lines of texts cut together are equal if and only if their `ids` are. */
export interface Lines {
  readonly bytes: Uint8Array;
  /** Where each line starts, and after the last one the length of the text. */
  readonly starts: Uint32Array;
  readonly ids: Uint32Array;
}

/** Cuts texts into lines with ids that are comparable between them. The number of distinct lines is `kinds`. */
export function cut(texts: readonly Uint8Array[]): { lines: Lines[]; kinds: number } {
  // One example of each kind of line: which text it is in, its place there, its length and its hash.
  const text: number[] = [];
  const place: number[] = [];
  const length: number[] = [];
  const hashes: number[] = [];
  // Open addressing. The seed keeps whoever writes the lines from choosing which ones collide; it shows in nothing but time.
  const seed = (Math.random() * 2 ** 32) | 0;
  let table = new Int32Array(1024).fill(-1);
  const free = (hash: number): number => {
    let slot = hash & (table.length - 1);
    while (table[slot]! >= 0) slot = (slot + 1) & (table.length - 1);
    return slot;
  };
  const add = (t: number, at: number, size: number, hash: number): number => {
    const kind = text.push(t) - 1;
    place.push(at);
    length.push(size);
    hashes.push(hash);
    if (text.length * 2 > table.length) {
      table = new Int32Array(table.length * 2).fill(-1);
      for (let k = 0; k < kind; k++) table[free(hashes[k]!)] = k;
    }
    table[free(hash)] = kind;
    return kind;
  };
  const find = (bytes: Uint8Array, at: number, size: number, hash: number): number => {
    for (let slot = hash & (table.length - 1); ; slot = (slot + 1) & (table.length - 1)) {
      const kind = table[slot]!;
      if (kind < 0) return -1;
      if (hashes[kind] !== hash || length[kind] !== size) continue;
      const other = texts[text[kind]!]!;
      const start = place[kind]!;
      let same = 0;
      while (same < size && other[start + same] === bytes[at + same]) same++;
      if (same === size) return kind;
    }
  };

  const lines = texts.map((bytes, t) => {
    const n = countLines(bytes);
    const starts = new Uint32Array(n + 1);
    const ids = new Uint32Array(n);
    let end = 0;
    for (let line = 0; line < n; line++) {
      const at = end;
      let hash = seed;
      for (let byte = -1; end < bytes.length && byte !== 10; ) {
        byte = bytes[end++]!;
        hash = Math.imul(hash ^ byte, 0x9e3779b1);
        hash ^= hash >>> 15;
      }
      const known = find(bytes, at, end - at, hash);
      starts[line] = at;
      ids[line] = known >= 0 ? known : add(t, at, end - at, hash);
    }
    starts[n] = end;
    return { bytes, starts, ids };
  });
  return { lines, kinds: text.length };
}

function countLines(bytes: Uint8Array): number {
  let n = bytes.length > 0 && bytes[bytes.length - 1] !== 10 ? 1 : 0;
  for (let i = 0; i < bytes.length; i++) if (bytes[i] === 10) n++;
  return n;
}
