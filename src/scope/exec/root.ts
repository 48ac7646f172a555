/** A root file system of a run's own, as the sandbox needs it. What lies in it is somebody else's: no link in it may lead us out. */
import * as fs from "node:fs";
import { join } from "node:path";
import { resolveIn } from "../../world/rooted.ts";
import type { Abilities } from "./abilities.ts";

/** Thrown with a sentence where a run cannot have the root that it is to have. */
export class NoRoot extends Error {}

export const whyNot = ({ why, noHelper }: Abilities): string => why ?? noHelper ?? "";

/** The bash of an image, by its path there. Throws a sentence where it has none. */
export function bashIn(root: string): string {
  for (const folder of ["/bin", "/usr/bin", "/usr/local/bin"]) {
    const at = resolveIn(root, `${folder}/bash`);
    if (at && isProgram(join(root, at))) return `${folder}/bash`;
  }
  throw new NoRoot(
    "There is no bash in the image, which a shell of a run needs: install it there, or run a command with `--`.",
  );
}

const isProgram = (file: string): boolean => {
  const stat = fs.lstatSync(file, { throwIfNoEntry: false });
  return stat?.isFile() === true && (stat.mode & 0o111) !== 0;
};

/** Takes links out of the way of what is mounted in every root: these places are in no state. */
export function clearPlaces(root: string): void {
  for (const [folder, name] of [
    ["/etc", "resolv.conf"],
    ["/etc", "hosts"],
    ["/var", "tmp"],
  ] as const) {
    const within = resolveIn(root, folder);
    const at = within && join(root, within, name);
    if (at && fs.lstatSync(at, { throwIfNoEntry: false })?.isSymbolicLink()) fs.unlinkSync(at);
  }
}
