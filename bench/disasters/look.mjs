// What is there, byte for byte: names, kinds, modes, links, contents, and what a Git repository holds.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

const digest = (bytes) => createHash("sha256").update(bytes).digest("hex").slice(0, 16);

/**
 * Entries below a directory by path. Of a `.git` it is what Git would tell: refs, HEAD, what is staged, what is put aside, its settings. Which
 * bytes hold that may differ, as after `git status`. With `bytes` it is the bytes of that, too.
 */
export function look(directory, { bytes = false } = {}) {
  const found = new Map();
  const visit = (path, name) => {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!stat) return;
    const mode = (stat.mode & 0o7777).toString(8);
    if (stat.isSymbolicLink()) return void found.set(name, `link ${readlinkSync(path)}`);
    if (!stat.isDirectory())
      return void found.set(name, `file ${mode} ${stat.isFile() ? digest(readFileSync(path)) : ""}`);
    if (name.split("/").pop() === ".git" && !bytes) return void found.set(name, repository(join(path, "..")));
    found.set(name, `directory ${mode}`);
    for (const each of readdirSync(path).sort()) visit(join(path, each), name ? `${name}/${each}` : each);
  };
  visit(directory, "");
  return found;
}

/** What a repository holds, as text; that it is broken, where Git says so. */
function repository(path) {
  const git = (...args) => {
    try {
      return execFileSync("git", ["-C", path, ...args], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
        env: { PATH: process.env.PATH, HOME: "/nowhere" },
      });
    } catch (error) {
      return `failed with ${error.status}`;
    }
  };
  const whole = git("fsck", "--connectivity-only", "--no-dangling", "--no-progress") === "" ? "whole" : "broken";
  const parts = [
    ["symbolic-ref", "-q", "HEAD"],
    ["for-each-ref", "--format=%(refname) %(objectname)"],
    ["ls-files", "-s"],
    ["stash", "list", "--format=%gd %H"],
    ["config", "--local", "--list"],
  ];
  return `repository ${whole} ${digest(parts.map((each) => git(...each)).join("\0"))}`;
}

/** Paths at which two looks differ. */
export const differ = (before, after) =>
  [...new Set([...before.keys(), ...after.keys()])].filter((path) => before.get(path) !== after.get(path)).sort();
