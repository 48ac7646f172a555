/** Copies of what a user has set up. */
import { cpSync, existsSync, lstatSync } from "node:fs";

/** Links of the user's lead to where they set it up; the files behind them are what counts. Repositories, sockets and pipes stay where they are. */
export function copySettings(from: string, to: string): void {
  cpSync(from, to, { recursive: true, dereference: true, filter: (each) => !/\/\.git$/.test(each) && isPlain(each) });
}

function isPlain(path: string): boolean {
  const stat = lstatSync(path);
  return stat.isFile() || stat.isDirectory() || (stat.isSymbolicLink() && existsSync(path));
}
