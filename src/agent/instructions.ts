/**
 * What a repository tells agents: AGENTS.md, or CLAUDE.md where there is no other. That of the root, and of each directory down to where the
 * agent starts, is told before it is first asked; that of a directory further down, once a call has named a file there. Each is a message of the conversation, so it
 * stands in the trace, goes with forks and reverts, and changes no request of before. What is told follows from the conversation and the files alone.
 */
import { existsSync } from "node:fs";
import { join, posix } from "node:path";
import { decodeShell, fromText } from "../scope/exec/shellstate.ts";
import { workspacePath } from "../scope/registry.ts";
import { type LiveScope, record } from "../scope/scope.ts";
import { getBytes, type Item, putItem, textOf } from "../scope/thread.ts";
import { target } from "../trace/bytes.ts";
import type { Hash, Link } from "../trace/ports.ts";
import { readContent } from "../world/content.ts";
import { lookup } from "../world/lookup.ts";
import { shellOf } from "./steps.ts";
import { boundary } from "./tools/clip.ts";

const NAMES = ["AGENTS.md", "CLAUDE.md"];
/** Characters of one file, and of all that is told at once. */
const MOST = 32_000;
const ALL = 96_000;

const OPENING = /^<project_instructions path="([^"\n]*)">\n/;

export interface Place {
  thread: string;
  /** Where the agent starts, relative to the workspace. */
  at?: string | undefined;
}

/** Whether a new run has any, for one whose files are still being read. */
export async function mayHaveInstructions(scope: LiveScope, { at }: Place): Promise<boolean> {
  if (scope.grants.root) return true;
  const directory = await workspacePath(scope.store, scope.ref.log);
  return above(at ?? "").some((each) => NAMES.some((name) => existsSync(join(directory, each, name))));
}

/** Tells what is due, as one step. Whether there was anything. Written at return. */
export async function tellInstructions(scope: LiveScope, items: readonly Item[], place: Place): Promise<boolean> {
  const { state } = scope.head();
  if (!state) return false;
  const { store } = scope;
  const tree = target(state.roots.workspace);
  const told = new Set(items.flatMap((item) => (item.role === "user" ? (OPENING.exec(textOf(item))?.[1] ?? []) : [])));
  const append: Link[] = [];
  let room = ALL;
  for (const directory of await directories(scope, items, place)) {
    const paths = NAMES.map((name) => posix.join(directory, name));
    if (room <= 0 || paths.some((path) => told.has(nameOf(path)))) continue;
    for (const path of paths) {
      const text = await textAt(scope, tree, path, Math.min(MOST, room));
      if (text === null) continue;
      room -= text.length;
      const said = `<project_instructions path="${nameOf(path)}">\n${text}\n</project_instructions>`;
      append.push(await putItem(store, { role: "user", content: [{ type: "text", text: said }] }));
      break;
    }
  }
  if (append.length === 0) return false;
  const { thread } = place;
  const facts = { kind: "message" as const, tier: "reversible" as const, thread, what: append.at(-1)! };
  await record(scope, facts, { status: "done", threads: { [thread]: { append } } });
  return true;
}

const nameOf = (path: string): string => path.replace(/["\n<>]/g, "?");

/** A directory and those above it, the root first. */
function above(directory: string): string[] {
  const names = directory.split("/").filter((name) => name !== "" && name !== ".");
  return ["", ...names.map((_, k) => names.slice(0, k + 1).join("/"))];
}

/** Directories whose instructions count: above where the agent starts, and above files that the calls of the last message name. */
async function directories(scope: LiveScope, items: readonly Item[], { thread, at = "" }: Place): Promise<Set<string>> {
  const found = new Set(above(at));
  const last = items.findLast((item) => item.role === "assistant");
  const home = scope.files?.path;
  if (!last || !home) return found;
  const shell = shellOf(scope.writer.fold, thread);
  const cwd = shell ? fromText(decodeShell(await getBytes(scope.store, shell)).cwd).toString() : posix.join(home, at);
  for (const block of last.content) {
    const path = block.type === "call" ? (block.input as { path?: unknown } | null)?.path : undefined;
    if (typeof path !== "string" || path.includes("\0")) continue;
    const inside = posix.relative(home, posix.resolve(cwd, path));
    if (inside === "" || inside === ".." || inside.startsWith("../")) continue;
    for (const each of above(inside)) found.add(each);
  }
  return found;
}

/** The text of a file, cut to a length; null where there is none. A link is none: what it leads to has its own name. */
async function textAt(scope: LiveScope, tree: Hash, path: string, most: number): Promise<string | null> {
  const { objects } = scope.store;
  const entry = await lookup(objects, tree, Buffer.from(path));
  if (!entry || (entry.type !== "f" && entry.type !== "F")) return null;
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of readContent(objects, entry.type, entry.id)) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > 4 * most) break;
  }
  const text = Buffer.concat(chunks).toString().trim();
  if (text === "") return null;
  return text.length <= most ? text : `${text.slice(0, boundary(text, most))}\n[cut here: read ${path} for the rest]`;
}
