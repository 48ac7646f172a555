// Forks of ours: in this process, on the stores and drivers that the command uses.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cli, median, quick, size, use } from "../lib.mjs";

const { openStore } = await use("trace/store.js");
const { driverOf } = await use("scope/driver.js");
const { portableDriver } = await use("world/portable.js");
const { capture } = await use("world/capture.js");
const { forkScope } = await use("scope/fork.js");
const { attach } = await use("scope/scope.js");
const { openFilesOf } = await use("scope/files.js");

const timedIn = async (work) => {
  const start = performance.now();
  const given = await work();
  return { ms: performance.now() - start, given };
};

/** A store of its own, and forks of one directory in it. `copies`: by the driver that works everywhere. */
export async function forksOf(tree, at, { copies = false } = {}) {
  mkdirSync(at, { recursive: true });
  const store = await openStore(join(at, "store"));
  const driver = copies
    ? portableDriver({ directory: store.cache("work"), objects: store.objects, generation: "bench" })
    : driverOf(store);
  const captured = await timedIn(() => capture(tree, store.objects));
  const open = (id, state, like) =>
    driver.open({ id, family: "bench", roots: { workspace: {} }, state: { workspace: state }, ...(like && { like }) });
  const first = await timedIn(() => open("first", captured.given));
  if (!copies && !existsSync(join(at, "store/cache/bases/bench"))) throw new Error("There are no overlays here.");
  return {
    store,
    driver,
    open,
    state: captured.given,
    captured: captured.ms,
    based: first.ms,
    path: (id) => join(at, "store/cache/work", id),
    end: async () => {
      await first.given.close();
      // Of what the kernel leaves an ordinary user may not look into all.
      await driver.tidy(3_600_000);
      await store.close();
      rmSync(at, { recursive: true, force: true });
    },
  };
}

/** What comes next does not pay for what was left before: all of that is removed first. */
const settled = (forks) => forks.driver.tidy(3_600_000);

/** Forks one after the other, and what each costs later: medians in ms. Each has changed 10 files between its fork and its revert. */
export async function single(forks, rounds) {
  await settled(forks);
  const times = { fork: [], capture: [], discard: [], revert: [] };
  for (let i = 0; i < rounds; i++) {
    const id = `fork-${i}`;
    const { ms, given } = await timedIn(() => forks.open(id, forks.state, "first"));
    times.fork.push(ms);
    const change = rounds < 100 || i % 10 === 0;
    if (change) {
      for (let k = 0; k < 10; k++) writeFileSync(join(given.paths.workspace, `change-${k}`), `${i} ${k}\n`);
      times.capture.push((await timedIn(() => given.capture())).ms);
    }
    await given.close();
    if (change) {
      // At rest it has the changed files, and goes back to what it began with.
      const reverted = await timedIn(() => forks.open(id, forks.state));
      times.revert.push(reverted.ms);
      await reverted.given.close();
    }
    times.discard.push((await timedIn(() => forks.driver.dispose(id))).ms);
  }
  return Object.fromEntries(Object.entries(times).map(([name, all]) => [name, median(all)]));
}

/** Many at once: how long all took to be made, to run a command each, to be discarded, in ms; and the kernel's memory for one, in bytes. */
export async function many(forks, count, openSandbox) {
  const memory = () => {
    const [, kb] = /^Slab:\s+(\d+)/m.exec(readFileSync("/proc/meminfo", "utf8"));
    return Number(kb) * 1024;
  };
  const ids = Array.from({ length: count }, (_, i) => `many-${i}`);
  await settled(forks);
  const before = memory();
  const worlds = [];
  const made = await timedIn(async () => {
    for (const id of ids) worlds.push(await forks.open(id, forks.state, "first"));
  });
  const each = (memory() - before) / count;
  const open = (world, network) =>
    openSandbox({
      binds: [{ from: world.paths.workspace, to: "/mnt", mode: "rw" }],
      tmp: forks.tmp,
      env: { PATH: process.env.PATH },
      network,
    });
  const used = await timedIn(async () => {
    for (const world of worlds) {
      const sandbox = await open(world, "host");
      await sandbox.exec({ argv: ["true"] });
      await sandbox.dispose();
    }
  });
  const room = {};
  for (const [name, network] of [
    ["host", "host"],
    ["own", { port: 7601 }],
  ]) {
    const some = worlds.slice(0, Math.min(100, count));
    const start = memory();
    const sandboxes = [];
    for (const world of some) sandboxes.push(await open(world, network));
    room[name] = (memory() - start) / some.length;
    for (const sandbox of sandboxes) await sandbox.dispose();
  }
  const mounted = size(forks.path(ids[0])).disk;
  const discarded = await timedIn(async () => {
    for (const [i, world] of worlds.entries()) {
      await world.close();
      await forks.driver.dispose(ids[i]);
    }
  });
  return { made: made.ms, used: used.ms, discarded: discarded.ms, memory: each, room, mounted };
}

/** What a fork at rest takes of the disk, in bytes: one that has changed nothing. */
export async function atRest(forks) {
  const world = await forks.open("rest", forks.state, "first");
  await world.close();
  const { disk } = size(forks.path("rest"));
  await forks.driver.dispose("rest");
  return disk;
}

/** Forks of forks: each changes a file, and the next is forked from it. Medians in ms of 51 forks at each depth that is named. */
export async function deep(forks, depths) {
  let state = forks.state;
  let like = "first";
  const found = {};
  for (let n = 1; n <= Math.max(...depths); n++) {
    const id = `deep-${n}`;
    const world = await forks.open(id, state, like);
    const at = world.paths.workspace;
    mkdirSync(join(at, `deep-${n % 100}`), { recursive: true });
    writeFileSync(join(at, `deep-${n % 100}`, `file-${n}`), `${n}\n`);
    state = (await world.capture()).workspace;
    await world.close();
    if (like !== "first") await forks.driver.dispose(like);
    like = id;
    if (!depths.includes(n)) continue;
    await settled(forks);
    const times = [];
    for (let i = 0; i < (quick ? 4 : 52); i++) {
      const fork = await timedIn(() => forks.open(`at-${i}`, state, like));
      // The first of them makes the layer of that state.
      if (i > 0) times.push(fork.ms);
      await fork.given.close();
      await forks.driver.dispose(`at-${i}`);
    }
    found[n] = median(times);
  }
  await forks.driver.dispose(like);
  return found;
}

/** A step that changed 10 files where the scope has changed `files` before, beside `find` over those: medians in ms. */
export async function captures(forks, files, rounds) {
  const world = await forks.open("upper", forks.state, "first");
  const at = world.paths.workspace;
  const nameOf = (i) => join(`many-${Math.floor(i / 100)}`, `file-${i}`);
  for (let i = 0; i < files; i++) {
    if (i % 100 === 0) mkdirSync(join(at, `many-${i / 100}`));
    writeFileSync(join(at, nameOf(i)), `file ${i}\n`);
  }
  await world.capture();
  await settled(forks);
  await new Promise((resolve) => setTimeout(resolve, quick ? 0 : 2500));
  const times = { capture: [], find: [] };
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < 10; i++) writeFileSync(join(at, nameOf((round * 7919 + i * 1013) % files)), `${round} ${i}\n`);
    times.capture.push((await timedIn(() => world.capture())).ms);
    const start = performance.now();
    spawnSync("find", [join(forks.path("upper"), "workspace.upper")], { maxBuffer: 1 << 30 });
    times.find.push(performance.now() - start);
  }
  await world.close();
  await forks.driver.dispose("upper");
  return { capture: median(times.capture), find: median(times.find) };
}

/** Forks of a run as the command makes them, with all that belongs to one: until its files are there, and until a command has run. In ms. */
export async function whole(tree, at, script, rounds) {
  mkdirSync(at, { recursive: true });
  const env = { ...process.env, SHEPHERD_DIR: join(at, "store"), SHEPHERD_QUOTA: "none" };
  const started = spawnSync(process.execPath, [cli, "run", "--model", `script:${script}`, "--scope", "first", "look"], {
    cwd: tree,
    env,
  });
  if (started.status !== 0) throw new Error(String(started.stderr));
  const store = await openStore(join(at, "store"));
  const times = { synced: [], files: [], ran: [] };
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    const [ref] = await forkScope(store, "first", 1, {});
    times.synced.push(performance.now() - start);
    const live = await attach(store, ref.name, {
      files: ({ ref, parent, grants }) => openFilesOf(store, ref, { parent, grants }),
    });
    const { state, carry } = live.head();
    const opening = performance.now();
    await live.files.restore(state.roots.workspace, carry);
    times.files.push(performance.now() - opening);
    const sandbox = await live.files.sandbox();
    await sandbox.exec({ argv: ["true"] });
    times.ran.push(performance.now() - start);
    await live.close();
    await driverOf(store).dispose(ref.log);
  }
  await driverOf(store).tidy(3_600_000);
  await store.close();
  rmSync(at, { recursive: true, force: true });
  return Object.fromEntries(Object.entries(times).map(([name, all]) => [name, median(all)]));
}
