// How long after a frame was written an observer has it: in the same process, in another by the control socket, and by the log itself.
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { goal, home, ms, quantile, quick, table, use } from "./lib.mjs";

const { openStore } = await use("trace/store.js");
const { socketPath } = await use("run/socket.js");
const { ask } = await use("run/connect.js");
const now = () => performance.timeOrigin + performance.now();
const COUNT = quick ? 20 : 500;
/** A frame's age when it is seen; undefined if it is none of ours. */
const ageOf = ({ facts }) => (facts.note === "bench" ? now() - facts.sent : undefined);

/** An observer in a process of its own: tells the age of each frame on its standard output. */
async function observe(way, directory, log, wanted) {
  const told = [];
  const saw = (frame) => {
    const age = ageOf(frame);
    if (age !== undefined) told.push(age);
    return told.length === Number(wanted);
  };
  const store = await openStore(directory);
  console.log("ready");
  const stop = new AbortController();
  if (way === "socket")
    await ask(socketPath(store, log), "observe", { from: 0 }, (frame) => saw(frame) && stop.abort(), stop.signal).catch(
      () => {},
    );
  else for await (const frame of store.logs.tail(log, 0, { signal: stop.signal })) if (saw(frame)) stop.abort();
  console.log(JSON.stringify(told));
  process.exit(0);
}
const [mode, ...rest] = process.argv.slice(2);
if (mode === "observer") await observe(...rest);

const { createScope, NO_GRANTS, mainLog, workspaceOf } = await use("scope/registry.js");
const { drive } = await use("run/drive.js");
const directory = join(home, "store");
mkdirSync(join(home, "project"));
const store = await openStore(directory);
const workspace = workspaceOf(join(home, "project"));
await mainLog(store, workspace);
const { log } = await createScope(store, { name: "bench", workspace, parent: null, origin: null, grants: NO_GRANTS });

const start = (way) =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [process.argv[1], "observer", way, directory, log, COUNT], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let give;
    const ages = new Promise((done) => {
      give = done;
    });
    child.on("close", (code) => code !== 0 && reject(new Error(`The observer by the ${way} ended with ${code}.`)));
    createInterface({ input: child.stdout }).on("line", (line) =>
      line === "ready" ? resolve({ ages }) : give(JSON.parse(line)),
    );
  });

const seen = { watch: [], tail: [] };
let others;
await drive(store, "bench", {
  signal: new AbortController().signal,
  worker: {
    name: "bench",
    work: async ({ writer }) => {
      const stop = new AbortController();
      writer.watch((frame) => {
        const age = ageOf(frame);
        if (age !== undefined) seen.watch.push(age);
      });
      const tail = (async () => {
        for await (const frame of store.logs.tail(log, 0, { signal: stop.signal })) {
          const age = ageOf(frame);
          if (age !== undefined) seen.tail.push(age);
        }
      })();
      others = await Promise.all([start("socket"), start("log")]);
      await sleep(200);
      for (let i = 0; i < COUNT; i++) {
        await writer.note(null, { note: "bench", sent: now() });
        await sleep(3);
      }
      await sleep(100);
      stop.abort();
      await tail;
      return "done";
    },
  },
});
const [socket, file] = await Promise.all(others.map(({ ages }) => ages));
await store.close();
const row = (what, ages, limit) => [
  what,
  ms(quantile(ages, 0.5)),
  ms(quantile(ages, 0.99)),
  goal(`p50 < ${limit} ms`, quantile(ages, 0.5) < limit),
];
table(
  "observe",
  "Observing",
  `From the call that writes a frame to the moment an observer has it, ${COUNT} frames 3 ms apart, all observers at once.`,
  ["observer", "p50, ms", "p99, ms", "target"],
  [
    row("the same process, told by the writer", seen.watch, 1),
    row("the same process, by the tail of the log", seen.tail, 1),
    row("another process, by the control socket", socket, 5),
    row("another process, by the tail of the log", file, 5),
  ],
);
