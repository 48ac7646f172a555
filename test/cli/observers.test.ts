/** Observation does not perturb: what a worker does is the same, whoever looks at it. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { socketPath } from "../../src/run/socket.ts";
import { findScope } from "../../src/scope/registry.ts";
import type { Frame } from "../../src/trace/frame.ts";
import { type EmbeddedStore, openStore } from "../../src/trace/store.ts";
import { long } from "../support/runs.ts";
import { bash, newUser, put, type User, until } from "../support/user.ts";

let user: User;
let store: EmbeddedStore;
/** Beside the project, and the same in each run, since it stands in the requests. */
let gates: string;
beforeAll(async () => {
  user = await newUser();
  gates = join(user.directory, "gates");
  mkdirSync(gates);
  // All start from one step: how long main takes to be read, beside the first request, is no matter of the worker either.
  await user.does(["run", "--scope", "base", "--write", gates, "--model", user.script([{ say: "ready" }]), "do it"]);
  store = await openStore(user.store);
});
afterAll(async () => {
  await store.close();
  user.end();
});

/** A call that ends only once `gate` is there, which lies beside the project. */
const waitFor = (gate: string) => bash(`until [ -e ${gate} ]; do sleep 0.01; done`);

/**
 * Calls run while their message still streams, so that whether a result or the rest of the message comes first is a matter of time.
 * A deterministic worker takes time out of it: the first call of each turn waits until the message is whole.
 */
const makeTurns = () => [
  ...Array.from({ length: 6 }, (_, i) => ({
    say: `turn ${i}`,
    delay: 20,
    call: [
      waitFor(`${gates}/${i}`),
      put(`${i}.txt`, "x".repeat(i * 1000)),
      bash(`cat ${i}.txt | wc -c; echo ${i} >> all.txt; exit ${i % 3}`),
    ],
  })),
  { say: "the end", delay: 20 },
];

/** Opens the gate of each turn once its message is whole, and not before `ready`. Ends with `signal`. */
async function openGates(log: string, signal: AbortSignal, ready: Promise<unknown>): Promise<void> {
  const models = new Map<number, number>();
  for await (const { phase, n, facts } of store.logs.tail(log, 0, { signal })) {
    if (phase === "intent" && facts.kind === "model") models.set(n, models.size);
    await ready;
    if (phase === "outcome" && models.has(n)) writeFileSync(join(gates, String(models.get(n))), "");
  }
}

/** An observer on the control socket of a run: what it has got so far. */
function observe(path: string, reads: boolean): { frames: Frame[]; socket: Socket } {
  const frames: Frame[] = [];
  const socket = createConnection(path);
  socket.on("error", () => {});
  socket.write(`${JSON.stringify({ id: 1, method: "observe", params: { from: 0 } })}\n`);
  if (!reads) socket.pause();
  else {
    let rest = "";
    socket.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) frames.push((JSON.parse(line) as { event: Frame }).event);
    });
  }
  return { frames, socket };
}

/** What of a frame must not depend on who looks: all but the chain, the clock, and the times of files. */
function essence({ phase, n, facts, links, carry }: Frame): unknown {
  const { mtimes, vcsMtimes, tmp, ...rest } = carry ?? {};
  return { phase, n, facts, links, carry: rest };
}

/** Commands that look at a run, and one that lets all of its calls pass. Gives what ends with them: their exit codes. */
async function watch(name: string, awaited: boolean): Promise<() => Promise<unknown[]>> {
  const all = [0, 1, 2].map(() => user.start(["observe", name, "--follow", "--json"]));
  const gate = user.start(["gate", name, "--as", "docs", "--allow", "*", "--json"]);
  await until(
    () => gate.err.includes("Decides by patterns"),
    () => gate.err,
  );
  return async () => {
    const [gatekeeper, ...seen] = await Promise.all([gate, ...all].map(({ ended }) => ended));
    // Those of the first turn were let pass before it came, unless they had to wait for it.
    expect(gatekeeper!.objects()).toHaveLength(awaited ? 18 : 15);
    // What was under way when they came is not the same; what came of it is.
    const sealed = seen.map((each) => each.objects().filter(({ status }) => status !== "intent"));
    for (const rows of sealed) expect(rows).toEqual(sealed[0]);
    return [gatekeeper!, ...seen].map(({ code }) => code);
  };
}

async function run(
  name: string,
  observers: number,
  gated: "comes" | "is awaited" | null = null,
): Promise<{ worker: unknown[]; requests: unknown[] }> {
  for (const gate of readdirSync(gates)) rmSync(join(gates, gate));
  const running = user.start([
    "run",
    "--from",
    "base@0",
    "--scope",
    name,
    "--model",
    user.script(makeTurns()),
    ...(gated === "is awaited" ? ["--guard", "docs=wait"] : []),
    "go on",
  ]);
  await until(
    async () => (await findScope(store, name)) !== null,
    () => running.err,
  );
  const { log } = (await findScope(store, name))!;
  const ended = new AbortController();
  let ready = (): void => {};
  const opening = openGates(
    log,
    ended.signal,
    new Promise<void>((resolve) => {
      ready = resolve;
    }),
  );
  const watching: Array<ReturnType<typeof observe>> = [];
  let left = async (): Promise<unknown[]> => [];
  if (observers > 0) {
    await until(
      () => running.out.includes("message ·"),
      () => running.err,
    );
    // The first never reads.
    for (let k = 0; k < observers; k++) watching.push(observe(socketPath(store, log), k > 0 || observers === 1));
    const stranger = createConnection(socketPath(store, log));
    stranger.on("error", () => {}).write("no request\n\n{}\n");
  }
  if (gated) {
    await until(() => running.out.includes("turn 0"));
    left = await watch(name, gated === "is awaited");
  }
  ready();
  const { code, err } = await running.ended;
  expect(code).toBe(0);
  if (gated === "is awaited")
    expect(err).toMatch(/^(shepherd: \w+ waits for its gate docs, before step [\d, ]+: .*\n)+$/);
  else expect(err).toBe("");
  ended.abort();
  await opening;
  expect(new Set(await left())).toEqual(new Set(gated ? [0] : []));
  const frames: Frame[] = [];
  for await (const frame of store.logs.read(log)) frames.push(frame);
  for (const { frames: seen } of watching.slice(observers > 1 ? 1 : 0)) {
    expect(seen.length).toBeGreaterThan(5);
    expect(seen).toEqual(frames.slice(0, seen.length));
  }
  for (const { socket } of watching) socket.destroy();
  const worker = frames.filter(({ phase }) => phase !== "note").map(essence);
  const requests = frames.flatMap((frame) =>
    frame.phase === "intent" && frame.facts.kind === "model" ? [frame.facts.what] : [],
  );
  return { worker, requests };
}

test("steps and request bytes of a worker are the same with 0, 1 and many observers, also with one that never reads, and with a gate that allows", async () => {
  const alone = await run("alone", 0);
  expect(alone.requests).toHaveLength(7);
  expect(await run("one", 1)).toEqual(alone);
  expect(await run("many", long ? 100 : 10)).toEqual(alone);
  expect(await run("gated", 1, "comes")).toEqual(alone);
  expect(await run("guarded", 1, "is awaited")).toEqual(alone);
});
