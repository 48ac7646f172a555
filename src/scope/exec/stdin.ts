/** The standard input of this process, for a command. */
import fs from "node:fs";
import net from "node:net";
import { pipeline } from "node:stream";
import { openPipe } from "./pipe.ts";
import { hasProc } from "./table.ts";
import { readUpTo, unnamedFile } from "./temp.ts";

export interface OwnInput {
  stdio: number | "ignore";
  /** Once a command has it. */
  begin(): void;
  /** Gives up what is held for a command that is to be started. */
  release(): void;
}

/** Of a file no longer than this there is a copy; of others there is too much to copy, and more than a pipe holds. */
const COPIED = 1 << 20;

/**
 * A file is read for the command: by a descriptor of it a command could open the file again, to write, and everything below a
 * directory, since it was opened where nothing is read-only. Terminals, pipes and sockets lead nowhere.
 *
 * Its reader's place stays where it is: whoever comes after finds all that is behind it.
 */
export async function ownInput(): Promise<OwnInput> {
  // Without /proc there are no sandboxes.
  if (!hasProc) return as(0);
  let stat: fs.Stats;
  try {
    stat = fs.fstatSync(0);
  } catch {
    return as("ignore");
  }
  if (stat.isDirectory()) return as("ignore");
  if (!stat.isFile() && !stat.isBlockDevice()) return as(0);
  const from = place();
  return stat.isFile() && stat.size - from <= COPIED ? copied(from) : await piped(from);
}

const as = (stdio: 0 | "ignore"): OwnInput => ({ stdio, begin: () => {}, release: () => {} });

function copied(from: number): OwnInput {
  const file = unnamedFile(readUpTo(0, COPIED + from, from));
  const stdio = reopened(file);
  return { stdio, begin: () => {}, release: () => fs.closeSync(stdio) };
}

async function piped(from: number): Promise<OwnInput> {
  const pipe = await openPipe();
  // That of the pipe does not wait for what is to come, as programs expect.
  const stdio = reopened(pipe.read);
  let begun = false;
  return {
    stdio,
    begin: () => {
      begun = true;
      const input = new net.Socket({ fd: pipe.write, readable: false, writable: true }).unref();
      const source = fs.createReadStream("", { fd: 0, autoClose: false, start: from });
      pipeline(source, input, () => input.destroy());
    },
    release: () => {
      fs.closeSync(stdio);
      if (!begun) fs.closeSync(pipe.write);
    },
  };
}

/** The same, for reading alone. */
function reopened(fd: number): number {
  const again = fs.openSync(`/proc/self/fd/${fd}`, "r");
  fs.closeSync(fd);
  return again;
}

/** How far the standard input was read already. */
function place(): number {
  try {
    return Number(/^pos:\s*(\d+)/m.exec(fs.readFileSync("/proc/self/fdinfo/0", "latin1"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
