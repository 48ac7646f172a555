// A log of 10,000 steps: how long the verbs take that read it, and how large it is.
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createScope, mainLog, NO_GRANTS, workspaceOf } from "../dist/scope/registry.js";
import { attach, record, treeLink } from "../dist/scope/scope.js";
import { putBytes, putItem } from "../dist/scope/thread.js";
import { encodeJson } from "../dist/trace/bytes.js";
import { openStore } from "../dist/trace/store.js";
import { writeTree } from "../dist/world/tree.js";
import { interleaved, mb, median, ms, table, timed } from "./lib.mjs";

const home = mkdtempSync(join(tmpdir(), "shepherd-bench-"));
const cli = resolve("dist/cli/main.js");
const env = { ...process.env, SHEPHERD_DIR: join(home, "store") };
const project = join(home, "project");
const size = (path) => {
  const stat = statSync(path);
  if (!stat.isDirectory()) return { bytes: stat.size, files: 1 };
  return readdirSync(path)
    .map((name) => size(join(path, name)))
    .reduce((a, b) => ({ bytes: a.bytes + b.bytes, files: a.files + b.files }), { bytes: 0, files: 0 });
};

/** A scope with `count` steps, each of which changes 1 KB of one of 20 files. */
async function makeRun(directory, count, { talk }) {
  const store = await openStore(directory);
  const workspace = workspaceOf(home);
  await mainLog(store, workspace);
  await createScope(store, { name: "bench", workspace, parent: null, origin: null, grants: NO_GRANTS });
  const scope = await attach(store, "bench");
  let entries = [];
  for (let i = 0; i < 20; i++)
    entries.push({
      type: "f",
      mode: 0o644,
      name: Buffer.from(`file${String(i).padStart(2, "0")}`),
      id: await store.objects.put(Buffer.from(`${i}`)),
    });
  const edit = async (i) => {
    const text = Array.from({ length: 32 }, (_, k) => `line ${k} of step ${i}: ${(i * 2654435761 + k * 40503) % 1e9}\n`)
      .join("")
      .slice(0, 1024);
    entries = entries.map((entry, at) => (at === i % 20 ? { ...entry } : entry));
    entries[i % 20].id = await store.objects.put(Buffer.from(text));
    return treeLink(await writeTree(store.objects, { mode: 0o755, entries }));
  };
  const task = await putBytes(store, encodeJson({ text: "bench", worker: "agent" }));
  await record(scope, { kind: "run", tier: "reversible", what: task }, { status: "done", workspace: await edit(0) });
  for (let i = 1; i < count; i += talk ? 2 : 1) {
    let turn;
    if (talk) {
      turn = await scope.writer.intent({ kind: "model", tier: "repeatable", thread: "main" });
      const item = {
        role: "assistant",
        content: [
          { type: "text", text: `I edit for the ${i}th time.` },
          { type: "call", id: `c${i}`, name: "bash", input: { command: `edit ${i}` } },
        ],
      };
      await scope.writer.outcome(turn, { status: "done", threads: { main: { append: [await putItem(store, item)] } } });
    }
    const what = await putBytes(
      store,
      encodeJson({ type: "call", id: `c${i}`, name: "bash", input: { command: `edit ${i}` } }),
    );
    const n = await scope.writer.intent(
      { kind: "tool", tier: "reversible", thread: "main", what },
      turn === undefined ? {} : { links: { turn } },
    );
    const result = await putItem(store, {
      role: "result",
      call: `c${i}`,
      status: "done",
      content: [{ type: "text", text: `edited ${i}` }],
    });
    await scope.writer.outcome(n, {
      status: "done",
      workspace: await edit(i),
      threads: { main: { append: [result] } },
    });
  }
  await scope.close();
  await store.close();
}

const { mkdirSync } = await import("node:fs");
mkdirSync(project);
await makeRun(env.SHEPHERD_DIR, 10_000, { talk: true });
const verb = (...args) => timed(process.execPath, [cli, ...args], { cwd: project, env }).ms;
verb("log", "bench");
let k = 0;
const times = await interleaved(15, {
  node: () => timed(process.execPath, ["-e", "0"]).ms,
  version: () => verb("--version"),
  help: () => verb("--help"),
  log: () => verb("log", "bench"),
  json: () => verb("log", "bench", "--json"),
  cat: () => verb("cat", `bench@${1 + ((k += 1237) % 9998)}`, "file07"),
  checkout: () => verb("checkout", `bench@${1 + ((k += 1237) % 9998)}`, join(home, `out${k}`)),
  status: () => verb("status", "--all"),
});
const node = median(times.node);
const row = (name, what, goal) => [what, ms(median(times[name])), (median(times[name]) / node).toFixed(1), goal];
const start = performance.now();
const replay = JSON.parse(timed(process.execPath, [cli, "replay", "bench", "--json"], { cwd: project, env }).stdout);
const replayed = performance.now() - start;
table(
  "history",
  "Verbs over 10,000 steps",
  ["what", "ms", "x `node -e 0`", "goal"],
  [
    ["`node -e 0`", ms(node), "1.0", ""],
    row("version", "`shepherd --version`", "<= 2 x"),
    row("help", "`shepherd --help`", "<= 2 x"),
    row("log", "`log`, 10,000 rows", "< 150 ms"),
    row("json", "`log --json`, 10,000 rows", ""),
    row("cat", "`cat` a file of any step", ""),
    row("checkout", "`checkout` of any step", ""),
    row("status", "`status`", ""),
    [
      `\`replay\`: ${replay.commits} commits, ${replay.objects} objects, ${replay.calls} calls`,
      ms(replayed),
      (replayed / node).toFixed(1),
      "< 1 s",
    ],
  ],
);

const small = join(home, "small");
await makeRun(small, 1000, { talk: false });
const all = size(small);
rmSync(join(small, "cache"), { recursive: true, force: true });
const truth = size(small);
table(
  "history-size",
  "1,000 steps of 1 KB edits",
  ["what", "MB", "files", "goal"],
  [
    ["the store, with its caches", mb(all.bytes), all.files, "< 10 MB, < 50 files"],
    ["without what can be computed anew", mb(truth.bytes), truth.files, ""],
  ],
);
rmSync(home, { recursive: true });
