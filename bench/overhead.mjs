// What Shepherd adds to the user's own Claude Code: the same scripted task, by it alone and in a run, in turn.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { agentsOrNothing, claude, shepherd, startProvider, userIn } from "./agents.mjs";
import { home, median, ms, quantile, quick, s, table } from "./lib.mjs";

const bin = agentsOrNothing();
const PAIRS = quick ? 1 : 10;
const LATENCIES = quick ? [0] : [0, 2000];
const provider = await startProvider();

// Eight calls, as an agent makes them: it looks, edits, writes, tests.
const FILES = 200;
let project;
const at = (name) => join(project, name);
const bash = (command) => ({ say: "Next.", call: [["Bash", { command, description: "a step" }]] });
const script = () => [
  bash("ls src | head -20"),
  { call: [["Read", { file_path: at("src/m7.js") }]] },
  { call: [["Edit", { file_path: at("src/m7.js"), old_string: "last = f + 7;", new_string: "last = f + 70;" }]] },
  bash("node -e 'process.exit(0)'"),
  { call: [["Write", { file_path: at("src/new.js"), content: "export const n = 1;\n" }]] },
  bash("sed -i s/const/let/ src/m1*.js"),
  bash("git status --short | wc -l"),
  bash("echo done > notes.txt"),
  { say: "All done." },
];
const CALLS = 8;

/** A project of its own for each, as both would have it. */
function make(name, env) {
  project = join(home, `${name}-project`);
  const git = (...args) => execFileSync("git", args, { cwd: project, env });
  if (existsSync(project)) {
    // As before the last run. A run leaves it alone, so that there is nothing to do.
    if (name === "claude")
      for (const args of [
        ["checkout", "-q", "."],
        ["clean", "-fdq"],
      ])
        git(...args);
    return;
  }
  mkdirSync(at("src"), { recursive: true });
  for (let i = 0; i < FILES; i++)
    writeFileSync(
      at(`src/m${i}.js`),
      `// module ${i}\nexport const f${i} = (x) => x + ${i};\n`.repeat(10).concat(`const last = f + ${i};\n`),
    );
  git("init", "-q", "-b", "main");
  git("add", ".");
  git("commit", "-qm", "as it was");
  // As in a repository that has been used for a while: one pack, and not a file for each object.
  git("gc", "-q");
}

/** One run: ms until the model is first asked, from then until its last answer, and until the program has ended. */
async function once(name, env) {
  make(name, env);
  provider.script = script();
  provider.asked = [];
  const options = { cwd: project, env };
  const done =
    name === "claude"
      ? await claude("do it", options)
      : await shepherd(["run", "claude", "do it", "--land", "never"], options);
  const { asked } = provider;
  if (done.code !== 0 || asked.length !== CALLS + 1)
    throw new Error(`${name}: ${done.code}, ${asked.length} requests: ${done.stderr}${done.stdout}`);
  const first = asked[0].at;
  const last = asked.at(-1).end;
  return { start: first - done.begun, work: last - first, end: done.ended - last, all: done.ended - done.begun };
}

const users = Object.fromEntries(["claude", "shepherd"].map((name) => [name, userIn(join(home, name), bin, provider)]));
const rows = [];
for (const latency of LATENCIES) {
  provider.latency = latency;
  const took = { claude: [], shepherd: [] };
  // The first run of each makes its configuration, and Shepherd's reads all files.
  if (!quick && latency === 0) for (const name of ["claude", "shepherd"]) await once(name, users[name]);
  for (let i = 0; i < PAIRS; i++)
    // In turn, and each first as often as second.
    for (const name of i % 2 ? ["shepherd", "claude"] : ["claude", "shepherd"])
      took[name].push(await once(name, users[name]));
  const of = (name, part) => took[name].map((each) => each[part]);
  const row = (what, part, calls = 0) => {
    const [alone, run] = ["claude", "shepherd"].map((name) => median(of(name, part)));
    const added = run - alone;
    return [
      `${latency / 1000} s`,
      what,
      s(alone),
      s(run),
      `${s(quantile(of("claude", part), 0.1))} to ${s(quantile(of("claude", part), 0.9))}, ${s(quantile(of("shepherd", part), 0.1))} to ${s(quantile(of("shepherd", part), 0.9))}`,
      `${ms(added)} ms${calls ? `, ${ms(added / calls)} ms a call` : ""}`,
      `${((100 * added) / alone).toFixed(1)} %`,
    ];
  };
  rows.push(
    row("until the model is first asked", "start"),
    row("from there to its last answer", "work", CALLS),
    row("from there to the end of the program", "end"),
    row("all of it", "all"),
  );
}

// Siblings: all begin at one step and work at the same paths; alone, as many in copies of the project.
const SIBLINGS = quick ? 2 : 4;
const STEPS = [
  "ls src | head -20",
  "sed -i s/const/let/ src/m1*.js",
  "node -e 'process.exit(0)'",
  "echo done > notes.txt",
];
const LOOK = [bash("ls"), { say: "Looked." }];
const more = [...STEPS.map(bash), { say: "All done." }];

async function runOf(...words) {
  const done = await shepherd(["run", ...words, "--land", "never"], { cwd: project, env: users.shepherd });
  if (done.code !== 0) throw new Error(`run ${words.join(" ")}: ${done.code}: ${done.stderr}${done.stdout}`);
  return done;
}

async function inCopies() {
  const copies = Array.from({ length: SIBLINGS }, (_, i) => join(home, `copy-${i}`));
  for (const copy of copies) cpSync(join(home, "claude-project"), copy, { recursive: true });
  provider.script = more;
  const begun = performance.now();
  const all = await Promise.all(copies.map((cwd) => claude("go on", { cwd, env: users.claude })));
  const took = performance.now() - begun;
  if (all.some(({ code }) => code !== 0)) throw new Error(`claude: ${all.map(({ stderr }) => stderr).join()}`);
  for (const copy of copies) rmSync(copy, { recursive: true });
  return took;
}

async function siblings(scope) {
  provider.script = [...LOOK, ...more];
  const { begun, ended } = await runOf("-k", String(SIBLINGS), "--from", "it", "--scope", scope, "go on");
  return ended - begun;
}

make("claude", users.claude);
make("shepherd", users.shepherd);
provider.script = LOOK;
provider.latency = 0;
await runOf("claude", "look", "--scope", "it");
const together = [];
for (const latency of LATENCIES) {
  provider.latency = latency;
  const took = { copies: [], runs: [] };
  for (let i = 0; i < (quick ? 1 : 5); i++) {
    provider.asked = [];
    took.copies.push(await inCopies());
    took.runs.push(await siblings(`sibling-${latency}-${i}`));
    if (provider.asked.length !== 2 * SIBLINGS * more.length) throw new Error(`${provider.asked.length} requests`);
  }
  const [alone, runs] = [took.copies, took.runs].map(median);
  together.push([
    `${latency / 1000} s`,
    s(alone),
    s(runs),
    s(runs - alone),
    `${((100 * (runs - alone)) / runs).toFixed(1)} %`,
  ]);
}
provider.close();
table(
  "overhead",
  "Claude Code in a run, and alone",
  `Claude Code 2.1.329 does the same scripted task of ${CALLS} calls in ${CALLS + 1} answers, in a git repository of ${FILES} files, alone and by \`shepherd run claude\`, in turn, ${PAIRS} times each after a first run that is not counted; the model answers after 0 s or 2 s. Seconds, medians.`,
  ["model's latency", "what", "alone", "in a run", "10th to 90th of 100, alone and in a run", "added", "of alone"],
  rows,
  "What a run adds to the start: Node and the command, the agent's version, a namespace with its mounts, the user's configuration, and the files of the run. To each call: its request through the gateway (see above), two hooks, each of which starts a bash, and two captures, before it for what was written meanwhile, and after it. All of that is work of the processor, and none of it depends on how long the model thinks.",
);
table(
  "siblings",
  "Siblings of the real Claude Code",
  `${SIBLINGS} at once do ${STEPS.length} scripted calls each: by \`shepherd run -k ${SIBLINGS} --from STEP\`, all from one step and at the same paths, and alone, in copies of the project that were made before, in turn. Seconds until the last has ended, medians of 5.`,
  ["model's latency", "alone, in copies", "siblings of one step", "added", "of the whole"],
  together,
);
