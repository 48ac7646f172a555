// A process that works on a store: node child.mjs BUILD COMMAND ARGUMENT...
import { randomBytes, randomInt } from "node:crypto";
import { writeSync } from "node:fs";

const [build, command, ...args] = process.argv.slice(2);
const load = (name) => import(`${build}/trace/${name}.js`);
const say = (...words) => writeSync(1, `${words.join(" ")}\n`);

/** Drives a log until it is killed, and says `seq hash` of each frame whose append has returned. */
async function write(directory, log) {
  const { openStore } = await load("store");
  const { openWriter } = await load("writer");
  const { frameHash } = await load("chain");
  const store = await openStore(directory);
  let epoch = null;
  while (epoch === null) {
    epoch = await store.leases.acquire(`log/${log}`, (await store.logs.end(log)).epoch);
    if (epoch === null) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const writer = await openWriter(store, log, epoch);
  let last;
  writer.watch((frame) => {
    last = `${frame.seq} ${frameHash(frame)}`;
  });
  say("ready");
  for (;;) {
    // Large ones now and then, which are killed in the middle of a write.
    const size = randomInt(8) === 0 ? randomInt(900_000) : randomInt(3000);
    const what = `blob:${await store.objects.put(randomBytes(size))}`;
    const n = await writer.intent({ kind: "tool", tier: "reversible", what });
    say(last);
    if (randomInt(10) === 0) await writer.sync();
    await writer.outcome(n, {
      status: "done",
      result: `blob:${await store.objects.put(randomBytes(randomInt(2000)))}`,
    });
    say(last);
  }
}

/** Adds one to the ref `n`, `times` times; files of refs roll over at `large` bytes. */
async function increment(directory, times, large) {
  const { openRefs } = await load("refs");
  const { realDisk } = await load("disk");
  const refs = await openRefs(realDisk, directory, "refs", true, Number(large));
  for (let done = 0; done < Number(times); ) {
    const ref = await refs.get("n");
    if (await refs.cas("n", ref?.version ?? 0, String(Number(ref?.value ?? 0) + 1))) done++;
  }
}

/** Says what it reads of a log as it comes, until it has the frame `last`. */
async function tail(directory, log, last) {
  const { openStore } = await load("store");
  const store = await openStore(directory);
  say("ready");
  for await (const frame of store.logs.tail(log, 0, { signal: new AbortController().signal })) {
    say(frame.seq, performance.timeOrigin + performance.now(), frame.facts.at ?? 0);
    if (frame.seq === Number(last)) break;
  }
  await store.close();
}

await { write, increment, tail }[command](...args);
