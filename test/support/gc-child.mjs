// A process that writes into a store, collects its garbage or forgets: node gc-child.mjs BUILD COMMAND DIRECTORY ARGUMENT...
import { randomInt } from "node:crypto";
import { writeSync } from "node:fs";

const [build, command, directory, ...args] = process.argv.slice(2);
const load = (name) => import(`${build}/trace/${name}.js`);
const say = (...words) => writeSync(1, `${words.join(" ")}\n`);
const { openStore } = await load("store");
const { traceFollowers } = await load("reach");
const none = () => [];
const followers = { ...traceFollowers, tree: none, mtimes: none, chunks: none };
const store = await openStore(directory);

/** Writes steps whose results are lists of objects of which most were there before, in logs that come and go, until it is killed. */
async function work() {
  const { openWriters } = await load("writers");
  const { openWriter } = await load("writer");
  const { newLogId } = await load("store");
  const { encodeJson } = await load("bytes");
  const writers = openWriters(store);
  await writers.register();
  writers.keepUp(5);
  const put = async (text) => `blob:${await store.objects.put(Buffer.from(text))}`;
  const begin = async () => {
    const id = newLogId();
    await store.logs.create({ v: 1, type: "log", id, origin: null, meta: { name: await put("a name") } });
    await store.refs.cas(`scope/${id}`, 0, JSON.stringify({ log: id }));
    const epoch = await store.leases.acquire(`log/${id}`);
    return { id, epoch, writer: await openWriter(store, id, epoch) };
  };
  const end = async ({ id, epoch }) => {
    const ref = await store.refs.get(`scope/${id}`);
    await store.refs.cas(`scope/${id}`, ref.version, null);
    await store.leases.release(`log/${id}`, epoch);
  };
  let log = await writers.during(begin);
  say("ready");
  for (let step = 0; ; step++) {
    await writers.during(async () => {
      const parts = [];
      for (let k = randomInt(8); k >= 0; k--) parts.push(await put(`part ${randomInt(40)} `.repeat(randomInt(1, 400))));
      const list = await store.objects.put(encodeJson({ parts, step: randomInt(20) }));
      const n = await log.writer.intent({ kind: "tool", tier: "reversible", what: parts[0] });
      await log.writer.outcome(n, { status: "done", result: `json:${list}` });
    });
    say("step", step);
    if (randomInt(12) === 0) {
      const before = log;
      log = await writers.during(begin);
      await writers.during(() => end(before));
    }
    await new Promise((resolve) => setTimeout(resolve, randomInt(3)));
  }
}

/** Collects again and again until it is killed. */
async function collect() {
  const { gc } = await load("gc");
  say("ready");
  for (;;) {
    const { stopped } = await gc(store, { followers, least: 0, derivedLimit: 0 });
    say(stopped ?? "collected");
  }
}

async function forget() {
  const { forget } = await load("forget");
  say("ready");
  await forget(store, args, { reason: "a test" });
  say("forgotten");
}

await { work, collect, forget }[command]();
