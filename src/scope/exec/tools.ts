import fs from "node:fs";
import path from "node:path";

/** The host's programs that namespaces need, by absolute path: what runs before a sandbox is entered never depends on its PATH. */
export interface Tools {
  unshare: string;
  nsenter: string;
  setpriv: string;
  setsid: string;
  mount: string;
  bash: string;
}

const NAMES: ReadonlyArray<keyof Tools> = ["unshare", "nsenter", "setpriv", "setsid", "mount", "bash"];

/** Thrown where a program of the host that is needed lacks, or does not do its work. */
export class NoTool extends Error {}

/** A program of this package of the system. Throws a sentence where it lacks. */
export function needProgram(name: string, from: string): string {
  const file = findProgram(name);
  if (!file) throw new NoTool(`The program ${name} is needed and is not on the PATH: install ${from}.`);
  return file;
}

/** Finds a program on the path of this process and in the usual folders of system tools. */
export function findProgram(name: string): string | null {
  for (const folder of [...(process.env.PATH ?? "").split(":"), "/usr/bin", "/bin", "/usr/sbin", "/sbin"]) {
    if (!folder.startsWith("/")) continue;
    const file = path.join(folder, name);
    try {
      fs.accessSync(file, fs.constants.X_OK);
      if (fs.statSync(file).isFile()) return file;
    } catch {
      // not in this folder
    }
  }
  return null;
}

/** The tools, or the names of those that are missing. */
export function findTools(): Tools | string[] {
  const found = new Map(NAMES.map((name) => [name, findProgram(name)]));
  const missing = NAMES.filter((name) => !found.get(name));
  return missing.length > 0 ? missing : (Object.fromEntries(found) as unknown as Tools);
}
