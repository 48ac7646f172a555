// What a supervisor costs: a look at 1, 10 and 100 scripted workers, from an event to the decision, its memory; and what being observed costs a worker.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cli, goal, home, mb, median, ms, quantile, quick, s, table, timed, use } from "./lib.mjs";

const { openStore } = await use("trace/store.js");
const { reportOf } = await use("meta/supervise/report/data.js");
const COUNTS = quick ? [1, 3] : [1, 10, 100];
/** Steps of each worker: it thinks for a moment, writes, and thinks again. */
const STEPS = quick ? 3 : 10;
/** Of the pairs of one run alone and one observed. */
const PAIRS = quick ? 2 : 20;
const DELAY = 300;

const project = join(home, "project");
mkdirSync(project);
writeFileSync(join(project, "a.txt"), "one\n");
const script = join(home, "work.jsonl");
const bash = (command) => ({ tool: "bash", input: { command } });
const turns = Array.from({ length: STEPS }, (_, n) => ({
  delay: DELAY,
  call: [bash(`echo ${n} > $(tr -dc a-f < /dev/urandom | head -c 16).txt`)],
}));
writeFileSync(script, [...turns, { say: "done" }].map((turn) => `${JSON.stringify(turn)}\n`).join(""));

/** The largest memory of a process so far, in bytes, and its time on a processor, in ms. */
function used(pid) {
  try {
    const peak = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
    return { peak: Number(peak?.[1] ?? 0) * 1024, cpu: (Number(stat[11]) + Number(stat[12])) * 10 };
  } catch {
    return null;
  }
}

/** One supervisor with so many workers. */
async function supervised(count) {
  const directory = join(home, `store-${count}`);
  const tasks = Array.from({ length: count }, (_, n) => `work ${n}`);
  const words = ["supervise", "--worker-model", `script:${script}`, "--land", "never", "--json", ...tasks];
  const began = performance.now();
  const child = spawn(process.execPath, [cli, ...words], {
    cwd: project,
    env: { ...process.env, SHEPHERD_DIR: directory },
    stdio: ["ignore", "ignore", "inherit"],
  });
  let last = { peak: 0, cpu: 0 };
  const look = setInterval(() => {
    const now = used(child.pid);
    if (now) last = { peak: Math.max(last.peak, now.peak), cpu: Math.max(last.cpu, now.cpu) };
  }, 50);
  const code = await new Promise((resolve) => child.on("close", resolve));
  clearInterval(look);
  if (code !== 0) throw new Error(`The supervisor of ${count} ended with ${code}.`);
  const took = performance.now() - began;
  const store = await openStore(directory);
  const report = await reportOf(store, "supervise");
  await store.close();
  const waited = report.ticks.flatMap((tick) => (tick.waited === null ? [] : [tick.waited]));
  const gate = report.judged;
  return { count, took, ...last, looks: report.ticks.length, waited, gate };
}

const rows = [];
for (const count of COUNTS) {
  const { took, peak, cpu, looks, waited, gate } = await supervised(count);
  rows.push([
    count,
    s(took),
    looks,
    ms(cpu / looks),
    `${ms(quantile(waited, 0.5))} / ${ms(quantile(waited, 0.95))}`,
    `${ms(quantile(gate, 0.5))} / ${ms(quantile(gate, 0.95))}`,
    mb(peak),
    count === 10 ? goal("p50 of a verdict < 20 ms", median(gate) < 20) : "",
  ]);
}

/** How long a worker takes from its first model call to its last, by its own clock. */
async function spanOf(directory, run) {
  const rows = timed(process.execPath, [cli, "log", run, "--json"], {
    cwd: project,
    env: { ...process.env, SHEPHERD_DIR: directory },
  }).stdout;
  const times = rows
    .trim()
    .split("\n")
    .map((row) => JSON.parse(row))
    .filter(({ kind }) => kind === "model")
    .map(({ at }) => Date.parse(at));
  return Math.max(...times) - Math.min(...times);
}

// In turn, so that noise meets both alike; the policy `none` reads all that the others read, and asks about no call.
const spans = { alone: [], observed: [] };
const directory = join(home, "store-pairs");
const env = { ...process.env, SHEPHERD_DIR: directory };
for (let pair = 0; pair < PAIRS; pair++) {
  const options = { cwd: project, env };
  const model = `script:${script}`;
  timed(process.execPath, [cli, "run", "--scope", `alone-${pair}`, "--land", "never", "--model", model, "x"], options);
  spans.alone.push(await spanOf(directory, `alone-${pair}`));
  const watched = ["supervise", "--policy", "none", "--scope", `boss-${pair}`, "--land", "never"];
  timed(process.execPath, [cli, ...watched, "--worker-model", model, `observed ${pair}`], options);
  spans.observed.push(await spanOf(directory, `observed-${pair}`));
}
const added = spans.observed.map((span, at) => (span - spans.alone[at]) / STEPS);
const mean = added.reduce((sum, each) => sum + each, 0) / PAIRS;
const sd = Math.sqrt(added.reduce((sum, each) => sum + (each - mean) ** 2, 0) / Math.max(1, PAIRS - 1));
const error = (1.96 * sd) / Math.sqrt(PAIRS);
table(
  "supervise",
  "The supervisor",
  `Scripted workers of ${STEPS} steps, ${DELAY} ms of thinking before each, under one supervisor that decides by rules. From an event to the decision it waits for more that belongs to the same look.`,
  [
    "workers",
    "s",
    "looks",
    "CPU ms a look",
    "event to decision, ms (p50 / p95)",
    "call to verdict, ms (p50 / p95)",
    "MB",
    "target",
  ],
  rows,
  `Being observed adds ${ms(mean)} ± ${ms(error)} ms to a step of a worker (mean of ${PAIRS} pairs in turn, 95 %; a run alone: median ${s(median(spans.alone))} s).`,
);
