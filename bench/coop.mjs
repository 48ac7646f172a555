// Two workers, one feature each, and what a merge makes of it: pairs of CooperBench, without a model. docs/coop.md says how it is run.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { ARMS } from "./coop/arms.mjs";
import { cacheIn } from "./coop/cache.mjs";
import { must, repository } from "./coop/git.mjs";
import { report } from "./coop/report.mjs";
import { python, score } from "./coop/score.mjs";
import { tasksOf } from "./coop/tasks.mjs";
import { product } from "./coop/workers.mjs";
import { cli, finallyDo, put, where } from "./lib.mjs";

const { values: given } = parseArgs({
  options: {
    dataset: { type: "string" },
    repos: { type: "string" },
    store: { type: "string", default: "/var/tmp/shepherd-coop" },
    jobs: { type: "string", default: "1" },
    only: { type: "string" },
    write: { type: "boolean" },
  },
});
if (!given.dataset || !given.repos || !existsSync(given.dataset) || !existsSync(given.repos)) {
  console.error(
    "--dataset and --repos name directories with the tasks and the repositories: docs/coop.md says where they come from.",
  );
  process.exit(2);
}
const tasks = tasksOf(resolve(given.dataset), resolve(given.repos)).filter(
  ({ name }) => !given.only || name.includes(given.only),
);
if (tasks.length === 0) {
  console.error("No task there has its repository in --repos and tests of pytest.");
  process.exit(2);
}

mkdirSync(given.store, { recursive: true });
const store = resolve(given.store);
const scratch = mkdtempSync(join(store, "run-"));
finallyDo(() => rmSync(scratch, { recursive: true, force: true }));
const cache = cacheIn(join(store, "results.jsonl"));
const versions = { git: await must("git", ["--version"]), engine: engineOf(join(dirname(dirname(cli)), "dist")) };
const runner = await python();

/** What merges: a hash of its modules. */
function engineOf(dist) {
  const hash = createHash("sha256");
  for (const name of readdirSync(join(dist, "world"), { recursive: true }).sort())
    if (name.endsWith(".js")) hash.update(name).update(readFileSync(join(dist, "world", name)));
  return hash.update(readFileSync(join(dist, "scope/merge.js"))).digest("hex");
}

/** A task with what its features make of the base, and the product standing on it. */
async function open(task) {
  const repo = await repository(join(store, `${task.name}.git`), task.repo);
  const root = await repo.treeOf(task.base);
  const trees = new Map();
  const commits = new Map();
  for (const feature of task.features) {
    const tree = await repo.patched(root, feature.patch);
    if (tree === null) throw new Error(`The patch of feature ${feature.n} of ${task.name} does not apply.`);
    trees.set(feature, tree);
    commits.set(feature, await repo.commit(tree, task.base));
  }
  const directory = join(scratch, task.name);
  await repo.checkout(root, directory);
  const opened = { task, repo, root, trees, commits, cache, scratch, python: runner, pairs: new Map() };
  opened.product = product(join(scratch, "shepherd"), directory);
  opened.base = task.name;
  await opened.product.prepare(opened.base);
  return opened;
}

/** Whether a tree has both features. */
async function judge(opened, { tree, why, ...rest }, features) {
  if (!tree) return { pass: false, why, ...rest };
  const scores = [];
  for (const feature of features) scores.push({ ...(await score(opened, tree, feature)), n: feature.n });
  const failing = scores.filter(({ pass }) => !pass);
  return {
    pass: failing.length === 0,
    ...rest,
    ...(failing.length > 0 && { why: failing.map(({ n, why }) => `${n}: ${why}`).join("; ") }),
  };
}

const ceiling = { features: [], combined: [] };
const work = [];
for (const task of tasks) {
  const opened = await open(task);
  const combined = await opened.repo.patched(opened.root, task.combined);
  for (const feature of task.features)
    work.push(async () => {
      const [alone, together] = [
        await score(opened, opened.trees.get(feature), feature),
        await score(opened, combined, feature),
      ];
      ceiling.features.push(alone);
      ceiling.combined.push(together);
      return `${task.name} ${feature.n}: ${alone.pass ? "passes" : alone.why}; with all others: ${together.pass ? "passes" : together.why}`;
    });
  for (const [index, [a, b]] of task.pairs.entries())
    work.push(async () => {
      const arms = {};
      for (const { name, version, merge } of ARMS) {
        const parts = ["arm", name, version(versions), task.base, a.patch, b.patch];
        arms[name] = await judge(opened, await cache.get(parts, () => merge(opened, a, b)), [a, b]);
      }
      results.push({ order: [tasks.indexOf(task), index], task: task.name, a: a.n, b: b.n, arms });
      return `${task.name} ${a.n}, ${b.n}: ${ARMS.map(({ name }) => `${name} ${arms[name].pass ? "+" : "-"}`).join(" ")}`;
    });
}
const results = [];
let begun = 0;
let done = 0;
await Promise.all(
  Array.from({ length: Number(given.jobs) }, async () => {
    while (begun < work.length) {
      const line = await work[begun++]();
      process.stderr.write(`${++done}/${work.length} ${line}\n`);
    }
  }),
);
results.sort((x, y) => x.order[0] - y.order[0] || x.order[1] - y.order[1]);

const lines = [
  `\`node bench/coop.mjs\`, ${where()}; ${versions.git}, ${runner.version}.`,
  "",
  ...report(ceiling, results),
];
console.log(lines.join("\n"));
put("coop", lines, "docs/coop.md");
