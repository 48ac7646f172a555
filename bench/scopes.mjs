// Forks of a directory and all that they are used for, beside what others do: docker, cp, git worktree, reflinks, btrfs.
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cli, count, goal, home, mb, ms, quick, table, timed, use } from "./lib.mjs";
import { atRest, captures, deep, forksOf, many, single, whole } from "./scopes/ours.mjs";
import * as peers from "./scopes/peers.mjs";
import { makeTree } from "./scopes/trees.mjs";

const { openSandbox } = await use("scope/exec/sandbox.js");
const { mountsOf } = await use("scope/driver.js");
const SIZES = quick ? { small: 1e6, middle: 2e6, large: 3e6 } : { small: 40e6, middle: 200e6, large: 5.8e9 };
const ROUNDS = quick ? 3 : 1000;
const FEW = quick ? 2 : 5;
const title = "Scopes";
const script = join(home, "script.jsonl");
writeFileSync(
  script,
  `${JSON.stringify({ say: "Look.", call: [{ tool: "bash", input: { command: "date > when" } }] })}\n{"say":"Done."}\n`,
);
const say = (text) => quick || process.stderr.write(`${text}\n`);

if (!(await mountsOf())) {
  table("scopes", title, "Not measured: no overlays can be made here.", ["what"], []);
  process.exit(0);
}

const sizes = {};
for (const [name, bytes] of Object.entries(SIZES)) {
  mkdirSync(join(home, name));
  sizes[name] = makeTree(join(home, name), bytes);
  say(`${name}: ${count(sizes[name].files)} files`);
}
const treeOf = (name) => join(home, name);

// A file system that reuses inodes late (ext4) looks at those that were removed in the last minutes, and what is compared below removes many.
mkdirSync(join(home, "tmp"));
const crowded = (forks) => many({ ...forks, tmp: join(home, "tmp") }, quick ? 5 : 1000, openSandbox);
say("many");
const fresh = await forksOf(treeOf("middle"), join(home, "ours"));
const crowd = await crowded(fresh);
await fresh.end();

// Each size: ours and theirs one after the other, so that noise meets both alike.
const docker = quick ? "not in a quick run" : await peers.docker();
const ours = {};
const theirs = {};
for (const name of Object.keys(SIZES)) {
  say(`forks of ${name}`);
  const tree = treeOf(name);
  const forks = await forksOf(tree, join(home, "ours"));
  ours[name] = { ...(await single(forks, ROUNDS)), captured: forks.captured, based: forks.based };
  const isLarge = name === "large";
  theirs[name] = {
    docker: typeof docker === "string" ? null : docker.commits(tree, quick ? 2 : 9),
    cp: peers.cp(tree, isLarge ? 1 : FEW),
    links: peers.hardLinks(tree, isLarge ? 1 : FEW),
  };
  if (!isLarge) theirs[name].worktree = peers.worktree(tree, FEW);
  if (!quick)
    for (const kind of ["xfs", "btrfs"]) {
      const disk = peers.onDisk(kind, SIZES[name] * 1.6 + 2e9, (at) => {
        if (kind === "btrfs") peers.subvolume(join(at, "tree"));
        peers.copyInto(tree, join(at, "tree"));
      });
      if (!disk) continue;
      theirs[name][kind] =
        kind === "xfs" ? peers.reflinks(join(disk.at, "tree"), isLarge ? 1 : FEW) : peers.snapshots(disk.at, 20);
      disk.end();
    }
  await forks.end();
}
if (typeof docker !== "string") await docker.end();

say("a fork of a run");
const full = await whole(treeOf("large"), join(home, "whole"), script, quick ? 2 : 100);
say("many, and deep");
const forks = await forksOf(treeOf("middle"), join(home, "ours"));
const crowdLater = await crowded(forks);
const rest = await atRest(forks);
const uppers = {};
for (const files of quick ? [100] : [1000, 100_000]) uppers[files] = await captures(forks, files, quick ? 2 : 21);
const DEPTHS = quick ? [2, 20] : [10, 10_000];
const depth = await deep(forks, DEPTHS);
await forks.end();

say("without overlays");
const portable = {};
portable.copies = await (async () => {
  const forks = await forksOf(treeOf("middle"), join(home, "ours"), { copies: true });
  const took = await single(forks, FEW);
  await forks.end();
  return took;
})();
for (const kind of quick ? [] : ["xfs", "btrfs"]) {
  const disk = peers.onDisk(kind, SIZES.middle * 3 + 2e9, (at) => peers.copyInto(treeOf("middle"), join(at, "tree")));
  if (!disk) continue;
  const forks = await forksOf(join(disk.at, "tree"), join(disk.at, "ours"), { copies: true });
  portable[kind] = await single(forks, FEW);
  await forks.end();
  disk.end();
}

// By a process of another user, where that may reach this file and what is measured.
let user = null;
const asUser = { uid: 1000, gid: 1000 };
const place = join(home, "user");
const userMay = (what, path) => spawnSync("test", [what, path], asUser).status === 0;
if (process.getuid() === 0) {
  mkdirSync(place);
  chownSync(place, 1000, 1000);
  chmodSync(home, 0o711);
}
if (process.getuid() === 0 && userMay("-r", import.meta.filename) && userMay("-r", cli) && userMay("-w", place)) {
  say("as an ordinary user");
  const env = { ...process.env, HOME: place, SHEPHERD_BENCH_DIR: place };
  const words = [join(import.meta.dirname, "scopes/user.mjs"), treeOf("small"), place, script, FEW];
  const root = await whole(treeOf("small"), join(home, "whole"), script, FEW);
  user = {
    ...JSON.parse(
      timed(process.execPath, [...words.map(String), ...(quick ? ["--quick"] : [])], { env, ...asUser }).stdout,
    ),
    root,
  };
}
for (const name of Object.keys(SIZES)) rmSync(treeOf(name), { recursive: true });

const { small, large } = ours;
const dockerOf = (name, what) => theirs[name].docker?.[what];
const cell = (value) => (value === undefined || value === null ? "" : ms(value));
const times = (ratio) => `${ratio < 10 ? ratio.toFixed(1) : count(Math.round(ratio))} x`;
const perSize = (title, of) => [title, ...["small", "middle", "large"].map((name) => cell(of(name)))];
table(
  "scopes",
  title,
  `Directories of ${["small", "middle", "large"].map((name) => `${mb(sizes[name].bytes)} MB (${count(sizes[name].files)} files)`).join(", ")}, of what this machine has in /usr. A fork: from the call until a command can run in it, not waiting for the disk; median of ${count(ROUNDS)}. ms.`,
  ["what", ...["small", "middle", "large"].map((name) => `${mb(sizes[name].bytes)} MB`)],
  [
    perSize("**fork**", (name) => ours[name].fork),
    perSize("revert of a fork at rest that had changed 10 files", (name) => ours[name].revert),
    perSize("discard", (name) => ours[name].discard),
    perSize("capture of 10 changed files", (name) => ours[name].capture),
    perSize("`docker commit` of a running container that has changed 10 files", (name) => dockerOf(name, "commit")),
    perSize("`docker commit` + `docker run`", (name) => dockerOf(name, "both")),
    perSize("`cp -a`", (name) => theirs[name].cp),
    perSize("`cp -al` (unsafe: a write into a file reaches all copies)", (name) => theirs[name].links),
    perSize("`git worktree add`", (name) => theirs[name].worktree),
    perSize("`cp -a --reflink` on xfs", (name) => theirs[name].xfs),
    perSize("`btrfs subvolume snapshot`", (name) => theirs[name].btrfs),
    perSize("once for a directory: all of it read and stored", (name) => ours[name].captured),
    perSize("once for a directory: the copy that its forks stand on", (name) => ours[name].based),
  ],
  typeof docker === "string" ? `Docker was not measured: ${docker}.` : "",
);
const commit = dockerOf("large", "commit");
const both = dockerOf("large", "both");
const by = (what, most, text) => [what, times(most), text];
const kb = (bytes) => `${(bytes / 1024).toFixed(1)} KB`;
const rows = [
  ["a fork of the largest", `${ms(large.fork)} ms`, goal("<= 1 ms", large.fork <= 1)],
  ...(commit
    ? [by("`docker commit` of the same, to that", commit / large.fork, goal(">= 100 x", commit >= 100 * large.fork))]
    : []),
  by(
    "`cp -a` of the same, to that",
    theirs.large.cp / large.fork,
    goal(">= 10,000 x", theirs.large.cp >= 10_000 * large.fork),
  ),
  by(
    "a fork of the largest to one of the smallest",
    large.fork / small.fork,
    goal("<= 1.5 x", large.fork <= 1.5 * small.fork),
  ),
  by("revert of one at rest, to a fork", large.revert / large.fork, goal("<= 1.5 x", large.revert <= 1.5 * large.fork)),
  by("discard, to a fork", large.discard / large.fork, goal("<= 1.5 x", large.discard <= 1.5 * large.fork)),
  ["a fork of a run with all its roots: written and synced", `${ms(full.synced)} ms`, "told"],
  ["… and its files there: workspace, `/tmp`, configuration", `${ms(full.files)} ms`, "told"],
  [
    "… from the call until a first command in its sandbox has ended",
    `${ms(full.ran)} ms`,
    both ? goal("<= 1/20 of `docker commit` + `docker run`", full.ran <= both / 20) : "told",
  ],
  ...Object.entries(uppers).map(([files, { capture, find }]) =>
    Number(files) > 1000
      ? [
          `capture of 10 changed files, where ${count(Number(files))} had been changed before`,
          `${ms(capture)} ms, ${times(capture / find)} \`find\` over these`,
          goal("<= 1.2 x", capture <= 1.2 * find),
        ]
      : [
          `capture of 10 changed files, where ${count(Number(files))} had been changed before`,
          `${ms(capture)} ms`,
          goal("< 10 ms", capture < 10),
        ],
  ),
  [`${count(quick ? 5 : 1000)} scopes made, all live`, `${ms(crowd.made)} ms`, goal("<= 2 s", crowd.made <= 2000)],
  ["each of them used once, by a command in a sandbox", `${ms(crowd.used)} ms`, goal("<= 10 s", crowd.used <= 10_000)],
  ["all of them discarded", `${ms(crowd.discarded)} ms`, goal("<= 2 s", crowd.discarded <= 2000)],
  [
    "the same three behind the removal of all that is compared with here",
    `${ms(crowdLater.made)}, ${ms(crowdLater.used)}, ${ms(crowdLater.discarded)} ms`,
    "told: the file system looks at what was lately removed",
  ],
  ["memory of the kernel for one of them (slab)", kb(crowd.memory), "told"],
  ["… and for its sandbox, with the host's network", kb(crowd.room.host), "told"],
  ["… with a network of its own", kb(crowd.room.own), "told"],
  by(
    `a fork at depth ${count(DEPTHS[1])}, to one at depth ${count(DEPTHS[0])} (${ms(depth[DEPTHS[1]])} and ${ms(depth[DEPTHS[0]])} ms)`,
    depth[DEPTHS[1]] / depth[DEPTHS[0]],
    goal("<= 1.5 x", depth[DEPTHS[1]] <= 1.5 * depth[DEPTHS[0]]),
  ),
  ["disk of a fork at rest", kb(rest), goal("<= 8 KB", rest <= 8192)],
  ["disk of one that is mounted", kb(crowd.mounted), goal("<= 40 KB", crowd.mounted <= 40_960)],
  [`without overlays, copies: a fork of ${mb(sizes.middle.bytes)} MB`, `${ms(portable.copies.fork)} ms`, "told"],
  ...["xfs", "btrfs"]
    .filter((kind) => portable[kind])
    .map((kind) => [
      `without overlays, blocks shared (${kind}): a fork of ${mb(sizes.middle.bytes)} MB`,
      `${ms(portable[kind].fork)} ms`,
      "told",
    ]),
  ...(user
    ? [
        [
          `an ordinary user: a fork of ${mb(sizes.small.bytes)} MB`,
          `${ms(user.fork)} ms, ${times(user.fork / small.fork)} root's`,
          goal("<= 2 x", user.fork <= 2 * small.fork),
        ],
        [
          "… capture of 10 changed files",
          `${ms(user.capture)} ms, ${times(user.capture / small.capture)} root's`,
          goal("<= 2 x", user.capture <= 2 * small.capture),
        ],
        [
          "… a fork of a run until a first command in its sandbox has ended",
          `${ms(user.ran)} ms, ${times(user.ran / user.root.ran)} root's`,
          "told",
        ],
      ]
    : []),
];
table("scopes-goals", "Scopes: goals", "From the same run.", ["what", "measured", "target"], rows);
