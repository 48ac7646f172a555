/** Damage to the files of a store, of any kind that disks, copies and people do. */
import * as fs from "node:fs";
import { dirname } from "node:path";
import fc from "fast-check";

const KINDS = [
  "flip",
  "byte",
  "zeros",
  "cut",
  "grow",
  "take",
  "double",
  "move",
  "swap",
  "copy",
  "remove",
  "directory",
  "link",
  "stray",
] as const;
export type Mutation = {
  kind: (typeof KINDS)[number];
  file: number;
  other: number;
  at: number;
  length: number;
  seed: number;
};

export const mutations = (most: number): fc.Arbitrary<Mutation[]> =>
  fc.array(
    fc.record({
      kind: fc.constantFrom(...KINDS),
      file: fc.nat(),
      other: fc.nat(),
      at: fc.nat(),
      length: fc.nat(600),
      seed: fc.nat(255),
    }),
    { minLength: 1, maxLength: most },
  );

export const filesIn = (directory: string): string[] =>
  fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`)
    .sort();

export function mutate(directory: string, { kind, file, other, at, length, seed }: Mutation): void {
  const files = filesIn(directory);
  if (files.length === 0) return;
  const path = files[file % files.length]!;
  const second = files[other % files.length]!;
  const bytes = fs.readFileSync(path);
  const from = bytes.length === 0 ? 0 : at % bytes.length;
  const to = Math.min(bytes.length, from + length);
  const put = (...parts: Uint8Array[]): void => fs.writeFileSync(path, Buffer.concat(parts));
  switch (kind) {
    case "flip":
      if (bytes.length > 0) bytes[from]! ^= 1 << (seed & 7);
      put(bytes);
      break;
    case "byte":
      if (bytes.length > 0) bytes[from] = seed;
      put(bytes);
      break;
    case "zeros":
      bytes.fill(0, from, to);
      put(bytes);
      break;
    case "cut":
      put(bytes.subarray(0, from));
      break;
    case "grow":
      put(bytes, Buffer.alloc(length, seed));
      break;
    case "take":
      put(bytes.subarray(0, from), bytes.subarray(to));
      break;
    case "double":
      put(bytes.subarray(0, to), bytes.subarray(from));
      break;
    case "move":
      put(bytes.subarray(0, from), bytes.subarray(to), bytes.subarray(from, to));
      break;
    case "swap":
      fs.writeFileSync(path, fs.readFileSync(second));
      fs.writeFileSync(second, bytes);
      break;
    case "copy":
      fs.writeFileSync(second, bytes);
      break;
    case "remove":
      fs.rmSync(path);
      break;
    case "directory":
      fs.rmSync(path);
      fs.mkdirSync(path);
      break;
    case "link":
      fs.rmSync(path);
      fs.symlinkSync(seed & 1 ? path : "/dev/zero", path);
      break;
    case "stray": {
      const name = ["000099.pack", "x", "refs.99999", "a".repeat(32), "1.2.3.tmp"][seed % 5];
      // It may be there already, and have become a link since that leads to itself.
      fs.rmSync(`${dirname(path)}/${name}`, { recursive: true, force: true });
      fs.writeFileSync(`${dirname(path)}/${name}`, bytes);
      break;
    }
  }
}
