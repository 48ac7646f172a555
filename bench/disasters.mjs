// Fifty accidents of the real Claude Code, each undone by what people protect themselves with: measured byte for byte, for each in each case.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import "./disasters/where.mjs";
import { agentsOrNothing, startProvider, userIn } from "./agents.mjs";
import { CASES, QUICK } from "./disasters/cases.mjs";
import { guarded, rewind, stash, worktree } from "./disasters/systems.mjs";
import { makeWorld } from "./disasters/world.mjs";
import { finallyDo, home, put, quick, rowsOf, s, table } from "./lib.mjs";

const bin = agentsOrNothing();
const provider = await startProvider();
const only = process.argv.find((word) => word.startsWith("--only="))?.slice(7);
const cases = CASES.filter(({ name }) => (only ? name.includes(only) : !quick || QUICK.includes(name)));
const tmp = mkdtempSync(join(tmpdir(), "shepherd-bench-"));
finallyDo(() => rmSync(tmp, { recursive: true, force: true }));

// The same bytes for all: made once, and copied with all their times.
const model = join(home, "model");
mkdirSync(model);
const world = join(home, "world");
makeWorld(model, userIn(join(model, "home"), bin, provider));
function fresh() {
  rmSync(world, { recursive: true, force: true });
  execFileSync("cp", ["-a", model, world]);
  writeFileSync(join(tmp, "session"), "of another program\n");
  const user = join(world, "home");
  const env = { ...userIn(user, bin, provider), SHEPHERD_DIR: join(world, "store"), BENCH_TMP: tmp };
  return { world, project: join(world, "project"), home: user, tmp, env };
}

const started = performance.now();
const results = [];
for (const accident of cases) {
  const begun = performance.now();
  const found = { accident };
  Object.assign(found, await rewind(fresh(), accident, provider));
  found.stash = await stash(fresh(), accident, provider);
  found.worktree = await worktree(fresh(), accident, provider);
  found.shepherd = await guarded(fresh(), accident, provider);
  results.push(found);
  if (process.argv.includes("--tell"))
    console.error(
      JSON.stringify({ ...found, accident: accident.name }, (_, value) =>
        Array.isArray(value) && value.length > 4 ? [...value.slice(0, 4), value.length] : value,
      ),
      Math.round(performance.now() - begun),
    );
}
provider.close();

/** Whether all is as it was, beyond the project too. */
const back = ({ left, beyond = [] }) => left.length === 0 && beyond.length === 0;
const paths = (list) => (list.length === 1 ? "1 path" : `${list.length} paths`);
const gone = ({ left, beyond = [] }) => [...(left.length > 0 ? [paths(left)] : []), ...beyond].join(", ");
function cell(result) {
  if (!back(result)) return `**no**: ${gone(result)}`;
  return result.hit.length === 0 ? "not hit" : "yes";
}
/** What a run did beyond the project counts for both of its columns. */
const shepherdCells = ({ shepherd: { meanwhile, revert, undo, beyond } }) => [
  meanwhile.length === 0 ? "yes" : `**no**: ${paths(meanwhile)}`,
  cell({ ...revert, beyond }),
  cell({ ...undo, beyond }),
];
const HEAD = [
  "accident",
  "without help: changed",
  "Claude Code `--rewind-files`",
  "`git stash`",
  "git worktree",
  "Shepherd: your files untouched",
  "Shepherd: `revert` of the run",
  "Shepherd: landed, then `undo`",
];
const row = (found) => [
  found.accident.name,
  gone(found.plain) || "nothing",
  cell(found.rewind),
  cell(found.stash),
  cell(found.worktree),
  ...shepherdCells(found),
];
const total = (is) => `**${results.filter(is).length}**`;
const totals = [
  `**all as before, of ${results.length}**`,
  total(({ plain }) => back(plain)),
  total(({ rewind }) => back(rewind)),
  total(({ stash }) => back(stash)),
  total(({ worktree }) => back(worktree)),
  ...[0, 1, 2].map((at) => total((found) => !shepherdCells(found)[at].startsWith("**no"))),
];
/** In words, case by case: what did not come back, and what was refused. */
const shown = (list) =>
  list.length > 3
    ? `${list
        .slice(0, 3)
        .map((path) => `\`${path}\``)
        .join(", ")}, …`
    : list.map((path) => `\`${path}\``).join(", ");
const notes = results.flatMap(({ accident, shepherd }) => {
  const { revert, undo, beyond, said } = shepherd;
  const lines = [];
  if (revert.left.length > 0) lines.push(`after \`revert\` ${shown(revert.left)} differ`);
  if (undo.left.length > 0) lines.push(`after \`undo\` ${shown(undo.left)} differ`);
  if (beyond.length > 0) lines.push(`${beyond.join(", ")} changed for good`);
  if (accident.outside && beyond.length === 0)
    lines.push(`${accident.outside} was not touched: the run could not reach it`);
  if (said) lines.push(`it said: ${said.replaceAll(/\s+/g, " ").trim()}`);
  return lines.length > 0 ? [`- ${accident.name}: ${lines.join("; ")}.`] : [];
});
table(
  "disasters",
  `${results.length} accidents`,
  `The real Claude Code 2.1.329 has each accident in a copy of the same project, once for each column; then one command is to undo it. "Yes": every file, link, mode and empty directory, all refs, the index and the stashes of its repositories, and what is beyond the project (a remote, a home, a project beside, /tmp) are as before, byte for byte; "not hit": it did not come about there. ${s(performance.now() - started)} s.`,
  HEAD,
  [...results.map(row), totals],
  ["What is to be said of Shepherd's columns:", "", ...(notes.length > 0 ? notes : ["- Nothing."])].join("\n"),
  "docs/disasters.md",
);

// README has the typical ones.
const typical = results.filter(({ accident }) => accident.typical);
put(
  "disasters",
  [
    `${results.length} accidents of the real Claude Code: is everything as before after one command, byte for byte? "Not hit" is what could not come about there: in a worktree are no files that Git does not know of, from a run nothing beyond the project can be written. [All of them, and how it was measured](docs/disasters.md).`,
    "",
    ...rowsOf(
      ["accident", ...HEAD.slice(2)],
      [...typical.map(row), totals].map(([name, , ...more]) => [name, ...more]),
    ),
  ],
  "README.md",
);
