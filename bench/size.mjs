// What runs take of the disk: many small edits, and a long conversation. By the command as a user has it, with a scripted model.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cli, count, goal, home, mb, quick, size, table, timed } from "./lib.mjs";

const script = join(home, "script.jsonl");

/** Runs a script in a project of 20 files and gives the store it leaves. */
function run(name, turns) {
  const project = join(home, name);
  mkdirSync(project);
  for (let i = 0; i < 20; i++) writeFileSync(join(project, `file${i}.txt`), `the first text of file ${i}\n`);
  writeFileSync(script, `${[...turns, { say: "Done." }].map((turn) => JSON.stringify(turn)).join("\n")}\n`);
  const store = join(home, `${name}.store`);
  const env = { ...process.env, SHEPHERD_DIR: store };
  timed(process.execPath, [cli, "run", "--json", "--model", `script:${script}`, name], { cwd: project, env });
  return store;
}
/** About 1 KB that deflates as code does, different each time. */
const text = (i) =>
  Array.from({ length: 40 }, (_, k) => `const value${k} = step(${(i * 2654435761 + k * 40503) % 1e7});\n`)
    .join("")
    .slice(0, 1024);

const edits = quick ? 20 : 1000;
const PER_TURN = 10;
const store = run(
  "edits",
  Array.from({ length: edits / PER_TURN }, (_, turn) => ({
    say: `Turn ${turn}.`,
    call: Array.from({ length: PER_TURN }, (_, k) => ({
      tool: "write",
      input: { path: `file${(turn * PER_TURN + k) % 20}.txt`, content: text(turn * PER_TURN + k) },
    })),
  })),
);
const all = size(store);
rmSync(join(store, "cache"), { recursive: true, force: true });
const truth = size(store);
table(
  "size-edits",
  `${count(edits)} steps of 1 KB edits`,
  `One run in which a scripted model writes 1 KB into one of 20 files ${count(edits)} times, ten to an answer.`,
  ["what", "MB", "files", "target"],
  [
    [
      "the store, with its caches and the files of the run",
      mb(all.bytes),
      all.files,
      goal("< 10 MB, < 50 files", all.bytes < 10e6 && all.files < 50),
    ],
    ["without what can be computed anew", mb(truth.bytes), truth.files, ""],
  ],
);

const calls = quick ? [1, 2, 4] : [25, 50, 100];
const sizes = calls.map((n) => {
  const of = run(
    `calls${n}`,
    Array.from({ length: n }, (_, i) => ({
      say: `${text(i + 5000)} And that was turn ${i}.`,
      call: [{ tool: "read", input: { path: `file${i % 20}.txt` } }],
    })),
  );
  const withCaches = size(of).bytes;
  rmSync(join(of, "cache"), { recursive: true, force: true });
  return { withCaches, bytes: size(of).bytes };
});
const slope = (a, b) => (sizes[b].bytes - sizes[a].bytes) / (calls[b] - calls[a]);
const ratio = slope(1, 2) / slope(0, 1);
table(
  "size-calls",
  `A conversation of ${calls.at(-1)} model calls`,
  "Runs whose scripted model answers with 1 KB and one call each time; every request holds the whole conversation before it.",
  ["model calls", "KB in the store", "KB a call more", "with caches, KB", "target"],
  calls.map((n, i) => [
    n,
    (sizes[i].bytes / 1000).toFixed(0),
    i === 0 ? "" : (slope(i - 1, i) / 1000).toFixed(2),
    (sizes[i].withCaches / 1000).toFixed(0),
    i === 2 ? goal("linear: the last half costs at most 1.2 x the first a call", ratio <= 1.2) : "",
  ]),
);
