/** The examples as a user of the package has them, who runs them. */
import { execFile } from "node:child_process";
import * as fs from "node:fs";
import { dirname, join, resolve } from "node:path";
import { built } from "./built.ts";

export const EXAMPLES = resolve(import.meta.dirname, "../../examples");
/** Those that are programs, by their names. */
export const PROGRAMS = fs
  .readdirSync(EXAMPLES)
  .filter((name) => name.endsWith(".mjs"))
  .sort();

/** Puts them into a directory, beside the package. */
export async function placeExamples(directory: string): Promise<void> {
  fs.cpSync(EXAMPLES, join(directory, "examples"), { recursive: true });
  fs.mkdirSync(join(directory, "node_modules"));
  fs.symlinkSync(dirname(dirname(await built())), join(directory, "node_modules/shepherd-ai"));
}

/** Runs one to its end. Rejects with all it said unless that is good. Gives what it printed. */
export function runExample(directory: string, name: string, args: string[] = [], env = process.env): Promise<string> {
  const { MODEL: _, LEADER: __, ...own } = env;
  const home = { HOME: directory, SHEPHERD_DIR: join(directory, "store"), NO_COLOR: "1" };
  return new Promise((resolve, reject) => {
    const words = [join("examples", name), ...args];
    execFile(process.execPath, words, { cwd: directory, env: { ...own, ...home } }, (error, out, err) => {
      if (error) reject(new Error(`${name} ended with ${error.code ?? error.signal}.\n${out}${err}`));
      else resolve(out);
    });
  });
}
