// A log of 10,000 steps: how long the verbs take that read it, and to compute all of it anew.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cli, count, goal, home, interleaved, median, ms, quick, table, timed, use } from "./lib.mjs";

const { createScope, mainLog, NO_GRANTS, workspaceOf } = await use("scope/registry.js");
const { attach, record, treeLink } = await use("scope/scope.js");
const { putBytes, putItem } = await use("scope/thread.js");
const { encodeJson } = await use("trace/bytes.js");
const { openStore } = await use("trace/store.js");
const { writeTree } = await use("world/tree.js");

const env = { ...process.env, SHEPHERD_DIR: join(home, "store") };
const project = join(home, "project");
const STEPS = quick ? 200 : 10_000;
const ROUNDS = quick ? 2 : 15;

/** A scope with `count` steps, each of which changes 1 KB of one of 20 files. */
async function makeRun(directory, count) {
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
  for (let i = 1; i < count; i += 2) {
    const turn = await scope.writer.intent({ kind: "model", tier: "repeatable", thread: "main" });
    const item = {
      role: "assistant",
      content: [
        { type: "text", text: `I edit for the ${i}th time.` },
        { type: "call", id: `c${i}`, name: "bash", input: { command: `edit ${i}` } },
      ],
    };
    await scope.writer.outcome(turn, { status: "done", threads: { main: { append: [await putItem(store, item)] } } });
    const what = await putBytes(
      store,
      encodeJson({ type: "call", id: `c${i}`, name: "bash", input: { command: `edit ${i}` } }),
    );
    const n = await scope.writer.intent(
      { kind: "tool", tier: "reversible", thread: "main", what },
      { links: { turn } },
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

mkdirSync(project);
await makeRun(env.SHEPHERD_DIR, STEPS);
const cache = join(env.SHEPHERD_DIR, "cache");
const verb = (...args) => timed(process.execPath, [cli, ...args], { cwd: project, env }).ms;
const node = () => timed(process.execPath, ["-e", "0"]).ms;

// With everything that follows from the log deleted.
const cold = await interleaved(quick ? 1 : 7, {
  node,
  log: () => {
    rmSync(cache, { recursive: true });
    return verb("log", "bench");
  },
  replay: () => {
    rmSync(cache, { recursive: true });
    return verb("replay", "bench");
  },
});
const { stdout } = timed(process.execPath, [cli, "replay", "bench", "--json"], { cwd: project, env });
const { commits, objects, wrong } = JSON.parse(stdout);
if (wrong.length > 0) throw new Error(wrong[0]);

verb("log", "bench");
const at = { early: 5, middle: STEPS / 2, late: STEPS - 10 };
let outs = 0;
const checkout = (n) => () => verb("checkout", `bench@${n}`, join(home, `out${outs++}`));
let k = 0;
const times = await interleaved(ROUNDS, {
  node,
  log: () => verb("log", "bench"),
  json: () => verb("log", "bench", "--json"),
  cat: () => verb("cat", `bench@${1 + ((k += 1237) % (STEPS - 2))}`, "file07"),
  status: () => verb("status", "--all"),
  early: checkout(at.early),
  middle: checkout(at.middle),
  late: checkout(at.late),
});
const row = (of, name, what, limit) => {
  const took = median(of[name]);
  const times = took / median(of.node);
  return [what, ms(took), times.toFixed(1), limit ? within(limit, took, median(of.node)) : ""];
};
/** What the machine of docs/performance.md takes for `node -e 0` while it does nothing else, in ms. */
const FREE = 60;
function within(limit, took, node) {
  if (took < limit || node < 1.25 * FREE) return goal(`< ${limit} ms`, took < limit);
  const free = (took * FREE) / node;
  return `< ${limit} ms: **missed** on this busy machine; ${ms(free)} ms if scaled to when \`node -e 0\` takes ${FREE}`;
}
const checkouts = Object.keys(at).map((name) => median(times[name]));
const equal = Math.max(...checkouts) <= 1.25 * Math.min(...checkouts);
const steps = count(STEPS);
table(
  "history",
  `Verbs over ${steps} steps`,
  `A run of ${steps} steps, half of them model calls and half edits of 1 KB, by the command, in turn with \`node -e 0\`; medians. On a machine that does other things besides, all of it takes longer, \`node -e 0\` too.`,
  ["what", "ms", "x `node -e 0`", "target"],
  [
    row(times, "node", "`node -e 0`"),
    row(times, "log", `\`log\`, ${steps} rows`, 150),
    row(times, "json", `\`log --json\`, ${steps} rows`),
    row(times, "cat", "`cat` a file of any step"),
    row(times, "status", "`status`"),
    row(times, "early", `\`checkout\` of step ${count(at.early)}`),
    row(times, "middle", `\`checkout\` of step ${count(at.middle)}`),
    [...row(times, "late", `\`checkout\` of step ${count(at.late)}`).slice(0, 3), goal("about equal", equal)],
    row(cold, "log", "`log`, commits, index and rows deleted before"),
    row(
      cold,
      "replay",
      `\`replay\`, commits and index deleted before: ${count(commits)} commits, ${count(objects)} objects`,
      1000,
    ),
  ],
);
