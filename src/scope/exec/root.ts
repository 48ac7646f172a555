/** A root file system of a run's own, as the sandbox needs it. What lies in it is somebody else's: no link in it may lead us out. */
import * as fs from "node:fs";
import { findIn, lookAt } from "../../world/rooted.ts";
import type { Abilities } from "./abilities.ts";

/** Thrown with a sentence where a run cannot have the root that it is to have. */
export class NoRoot extends Error {}

export const whyNot = ({ why, noHelper }: Abilities): string => why ?? noHelper ?? "";

/** The bash of an image, by its path there. Throws a sentence where it has none. */
export function bashIn(root: string): string {
  for (const folder of ["/bin", "/usr/bin", "/usr/local/bin"]) {
    const file = findIn(root, `${folder}/bash`);
    if (file && isProgram(file)) return `${folder}/bash`;
  }
  throw new NoRoot(
    "There is no bash in the image, which a shell of a run needs: install it there, or run a command with `--`.",
  );
}

const isProgram = (file: string | Buffer): boolean => {
  const stat = lookAt(file);
  return stat?.isFile() === true && (stat.mode & 0o111) !== 0;
};

/** Takes links out of the way of what is mounted in every root: these places are in no state. */
export function clearPlaces(root: string): void {
  for (const [folder, name] of [
    ["/etc", "resolv.conf"],
    ["/etc", "hosts"],
    ["/var", "tmp"],
  ] as const) {
    const found = findIn(root, folder);
    const at = found && Buffer.concat([Buffer.from(found as string), Buffer.from(`/${name}`)]);
    if (at && lookAt(at)?.isSymbolicLink()) fs.unlinkSync(at);
  }
}
