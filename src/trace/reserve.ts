/** Room that is kept back in the store, so that it can be cleared up on a disk that is full: whoever frees space first has to write a little. */
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { DiskError } from "./disk.ts";
import type { EmbeddedStore } from "./store.ts";

/** Much more than leases, names and states of a collection take. In bytes. */
const SIZE = 256 << 10;

type Place = Pick<EmbeddedStore, "disk" | "directory">;
const pathIn = ({ directory }: Place): string => `${directory}/reserve`;

/** Keeps room back, if that was not done yet. A disk that has none to spare is told by whoever needs it. */
export async function keepReserve(place: Place): Promise<void> {
  if (!fs.existsSync(pathIn(place))) await make(place).catch(() => {});
}

/** Gives the reserve up where there is no room for as much besides. Whether it did. */
export async function useReserve(place: Place): Promise<boolean> {
  try {
    await make(place);
    return false;
  } catch (error) {
    if (!(error instanceof DiskError) || !["ENOSPC", "EDQUOT"].includes(error.code)) throw error;
    const had = fs.existsSync(pathIn(place));
    place.disk.remove(pathIn(place));
    return had;
  }
}

/** Random, since some file systems keep nothing of bytes that are all alike. */
const make = (place: Place): Promise<boolean> => place.disk.create(pathIn(place), randomBytes(SIZE), { replace: true });
