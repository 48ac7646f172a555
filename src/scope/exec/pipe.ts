import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { runningHelper } from "./helper.ts";
import { shortLived } from "./temp.ts";
import { NoTool, needProgram } from "./tools.ts";

/**
 * Real pipes for the output of commands. What Node makes for `stdio: "pipe"` is a socket, and a program that opens /dev/stderr
 * cannot open a socket. Each is a FIFO that lost its name before anybody else could open it; none is used twice, so that a
 * process left behind by one command never reads the output of another.
 */
export interface Pipe {
  /** Non-blocking. */
  read: number;
  write: number;
}

const BATCH = 8;
const ready: Pipe[] = [];
let filling: Promise<void> | null = null;

/** A fresh pipe; both ends are the caller's to close. */
export async function openPipe(): Promise<Pipe> {
  for (;;) {
    const pipe = ready.pop();
    if (pipe) return pipe;
    filling ??= fill().finally(() => {
      filling = null;
    });
    await filling;
  }
}

async function fill(): Promise<void> {
  const folder = fs.mkdtempSync(path.join(shortLived(), "shepherd-pipes-"));
  try {
    const names = Array.from({ length: BATCH }, (_, i) => path.join(folder, String(i)));
    const helper = await runningHelper();
    await (helper ? helper.fifos(names).catch(() => byProgram(folder, names)) : byProgram(folder, names));
    const { O_RDONLY, O_WRONLY, O_NONBLOCK } = fs.constants;
    for (const name of names) {
      const read = fs.openSync(name, O_RDONLY | O_NONBLOCK);
      ready.push({ read, write: fs.openSync(name, O_WRONLY) });
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

function byProgram(folder: string, names: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(needProgram("mkfifo", "coreutils"), ["-m", "600", ...names], {
      stdio: "ignore",
      cwd: "/",
      detached: true,
    });
    child.on("error", (error) =>
      reject(new NoTool(`The program mkfifo cannot be run (${error.message}): install coreutils.`)),
    );
    child.on("exit", (code) =>
      code === 0
        ? resolve()
        : reject(new NoTool(`The program mkfifo failed in ${folder}: is there room, and may you write there?`)),
    );
  });
}
