// A git repository of a given size, the same each time: text that deflates as code does, and some content that does not.
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { timed } from "./lib.mjs";

/** Numbers that look random and are not. */
function dice(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** A long text of made-up code, and as many bytes of noise. */
function corpora(length) {
  const roll = dice(7);
  const letters = "etaoinshrdlucmfwypvbgkqjxz";
  const words = Array.from({ length: 4000 }, () =>
    Array.from({ length: 2 + roll(9) }, () => letters[Math.min(roll(26), roll(26))]).join(""),
  );
  let code = "";
  while (code.length < length) {
    const indent = "  ".repeat(roll(4));
    const line = Array.from({ length: 2 + roll(8) }, () => words[Math.min(roll(4000), roll(4000))]);
    code += `${indent}const ${line.shift()} = ${line.join(["(", ".", ", ", " + "][roll(4)])};\n`;
  }
  const noise = Buffer.alloc(length);
  for (let at = 0; at < length; at++) noise[at] = roll(256);
  return { text: Buffer.from(code.slice(0, length), "latin1"), noise };
}

/** The files of the repository: `files` of them with `bytes` in all, about 20 in a directory, one in 50 of them incompressible and larger. */
export function* contents(files, bytes) {
  const { text, noise } = corpora(4 << 20);
  const roll = dice(11);
  const mean = bytes / files;
  for (let i = 0; i < files; i++) {
    const odd = i % 50 === 49;
    const length = Math.max(40, Math.floor(mean * (odd ? 1 + roll(8) : 0.05 + roll(1000) / 550)));
    const from = roll(text.length - length);
    const body = (odd ? noise : text).subarray(from, from + length);
    const path = `src/${Math.floor(i / 2000)}/${Math.floor(i / 20)}/file${i}.${odd ? "bin" : "ts"}`;
    yield { path, head: Buffer.from(`// ${i}\n`), body };
  }
}

/** Makes the repository in `path`: one commit, one pack, all files checked out and known to the index. */
export async function makeRepository(path, files, bytes) {
  mkdirSync(path, { recursive: true });
  const git = (...args) => timed("git", args, { cwd: path });
  git("init", "-q", "-b", "main");
  git("config", "core.compression", "1");
  git("config", "gc.auto", "0");
  const to = spawn("git", ["fast-import", "--quiet", "--depth=0"], { cwd: path, stdio: ["pipe", "ignore", "inherit"] });
  const done = new Promise((resolve, reject) =>
    to.on("close", (code) => (code === 0 ? resolve() : reject(new Error(`git fast-import: ${code}`)))),
  );
  const write = async (chunk) => {
    if (!to.stdin.write(chunk)) await new Promise((resolve) => to.stdin.once("drain", resolve));
  };
  await write("commit refs/heads/main\ncommitter Bench <bench@example.org> 1700000000 +0000\ndata 1\n.\n");
  for (const { path, head, body } of contents(files, bytes)) {
    await write(`M 100644 inline ${path}\ndata ${head.length + body.length}\n`);
    await write(head);
    await write(body);
    await write("\n");
  }
  to.stdin.end();
  await done;
  git("checkout", "-q", "main", "--", ".");
  git("status", "--porcelain");
  return path;
}

/** Where the files are, to change some of them. */
export const fileAt = (path, i) =>
  join(path, `src/${Math.floor(i / 2000)}/${Math.floor(i / 20)}/file${i}.${i % 50 === 49 ? "bin" : "ts"}`);
