/**
 * What people protect themselves with. Each drives the same accident by the real Claude Code in a world of its own, undoes it with one command, and
 * says what was found: `hit`, paths that differ from before once the accident has happened; `left`, those that differ after the undo.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { claude, run, shepherd } from "../agents.mjs";
import { differ, look } from "./look.mjs";

const OUTSIDE = ["remote.git", "home", "outside", "tmp"];
/** The project, and what is beyond it; of the home only what the user has there. */
function lookAround({ world, project, tmp }, bytes = false) {
  const found = { project: look(project, { bytes }) };
  for (const name of OUTSIDE) {
    const place = name === "tmp" ? tmp : join(world, name);
    found[name] = new Map(
      [...look(place, { bytes: name === "remote.git" ? bytes : true })].filter(
        ([path]) => name !== "home" || !/^\.(claude|npm|cache|config|local)|^$/.test(path),
      ),
    );
  }
  found["remote.git"] = new Map([
    ["refs", execFileSync("git", ["-C", join(world, "remote.git"), "for-each-ref"]).toString()],
  ]);
  return found;
}
const beyond = (before, after) => OUTSIDE.filter((name) => differ(before[name], after[name]).length > 0);
const inside = (before, after) => differ(before.project, after.project);

/** Puts the case's calls below a directory. */
const script = ({ calls }, directory) =>
  calls.map((call) => {
    if (typeof call === "string") return { call: [["Bash", { command: call, description: "a step" }]] };
    const [name, input] = call;
    return { call: [[name, { ...input, file_path: join(directory, input.file_path) }]] };
  });

const git = (at, env, ...args) => run("git", args, { cwd: at, env });
const ended = (done, what) => {
  if (done.code !== 0) throw new Error(`${what}: ${done.code}: ${done.stderr}${done.stdout}`);
  return done;
};

/** Claude Code in the user's directory; first without any help, then its own rewind: `claude --resume ID --rewind-files MESSAGE`. */
export async function rewind(place, accident, provider) {
  const { project, home, env } = place;
  const before = lookAround(place);
  provider.script = script(accident, project);
  const session = crypto.randomUUID();
  // Where it works for a terminal it keeps these without being told.
  const keeps = { ...env, CLAUDE_CODE_ENABLE_SDK_FILE_CHECKPOINTING: "1" };
  ended(await claude("do it", { cwd: project, env: keeps }, ["--session-id", session]), "claude");
  await sleep(accident.wait ?? 0);
  const after = lookAround(place);
  const projects = join(home, ".claude/projects");
  const file = readdirSync(projects, { recursive: true }).find((name) => name.endsWith(`${session}.jsonl`));
  const lines = readFileSync(join(projects, file), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const { uuid } = lines.find(({ type }) => type === "user");
  const back = await run("claude", ["--resume", session, "--rewind-files", uuid], { cwd: project, env: keeps });
  const then = lookAround(place);
  const plain = { hit: inside(before, after), left: inside(before, after), beyond: beyond(before, after) };
  return {
    plain,
    rewind: {
      hit: plain.hit,
      left: inside(before, then),
      beyond: beyond(before, then),
      said: back.code === 0 ? "" : back.stderr + back.stdout,
    },
  };
}

/** All put aside by Git before, and taken up at once so that the agent has it; undone by a reset, a clean, and what was put aside. */
export async function stash(place, accident, provider) {
  const { project, env } = place;
  const before = lookAround(place);
  ended(await git(project, env, "stash", "push", "-q", "--include-untracked", "-m", "before"), "stash");
  ended(await git(project, env, "stash", "apply", "-q", "--index"), "stash apply");
  const head = (await git(project, env, "rev-parse", "HEAD")).stdout.trim();
  const begun = lookAround(place);
  provider.script = script(accident, project);
  ended(await claude("do it", { cwd: project, env }), "claude");
  await sleep(accident.wait ?? 0);
  const after = lookAround(place);
  await git(project, env, "reset", "-q", "--hard", head);
  await git(project, env, "clean", "-fdq");
  await git(project, env, "stash", "pop", "-q", "--index");
  const then = lookAround(place);
  // What a stash loses by itself, an empty directory, is no accident of the agent's.
  const own = inside(before, begun).filter((path) => path === "logs");
  const left = inside(before, then).filter((path) => !own.includes(path));
  return { hit: inside(begun, after), left, beyond: beyond(before, then) };
}

/** A worktree of its own for the agent, on a branch of its own; undone by removing both. */
export async function worktree(place, accident, provider) {
  const { world, project, env } = place;
  const before = lookAround(place);
  const tree = join(world, "worktree");
  ended(await git(project, env, "worktree", "add", "-q", "-b", "agent", tree), "worktree");
  const had = look(tree);
  provider.script = script(accident, tree);
  ended(await claude("do it", { cwd: tree, env }), "claude");
  await sleep(accident.wait ?? 0);
  const hit = existsSync(tree) ? differ(had, look(tree)) : ["all of it"];
  await git(project, env, "worktree", "remove", "--force", tree);
  await git(project, env, "worktree", "prune");
  await git(project, env, "branch", "-q", "-D", "agent");
  const then = lookAround(place);
  return { hit, left: inside(before, then), beyond: beyond(before, then) };
}

/** A run: the user's files meanwhile; the run's own after `revert`; and the user's after `merge` and `undo`. */
export async function guarded(place, accident, provider) {
  const { world, project, env } = place;
  const before = lookAround(place, true);
  const known = look(project);
  const options = { cwd: project, env };
  provider.script = script(accident, project);
  ended(await shepherd(["run", "claude", "do it", "--scope", "it", "--land", "never"], options), "run");
  const after = lookAround(place, true);
  const rows = (await shepherd(["log", "it", "--json"], options)).stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const first = Math.min(...rows.filter(({ kind }) => kind === "tool").map(({ n }) => n));
  const copy = async (name) => {
    const into = join(world, name);
    ended(await shepherd(["checkout", "it@", into], options), "checkout");
    return look(into);
  };
  const hit = differ(known, await copy("spoilt"));
  // What is landed is what the accident has left, so that comes first.
  const merged = await shepherd(["merge", "it", "--yes"], options);
  const landed = lookAround(place, true);
  const lands = inside(before, landed);
  let said = merged.code === 0 ? "" : `merge: ${merged.code} ${merged.stdout}${merged.stderr}`;
  if (lands.length > 0) {
    const undone = await shepherd(["undo"], options);
    if (undone.code !== 0) said += `undo: ${undone.code} ${undone.stderr}`;
  }
  const then = lookAround(place, true);
  const reverted = await shepherd(["revert", "it", String(first - 1)], options);
  if (reverted.code !== 0) said += `revert: ${reverted.code} ${reverted.stderr}`;
  const left = differ(known, await copy("back"));
  return {
    // With the bytes of `.git`.
    meanwhile: inside(before, after),
    revert: { hit, left },
    undo: { hit: lands, left: inside(before, then) },
    beyond: beyond(before, then),
    said,
  };
}
