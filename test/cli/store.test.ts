/** The store as a user meets it: fsck, gc, du, forget, replay, doctor, quotas, and stores that cannot be used as they are. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { attach, record } from "../../src/scope/scope.ts";
import { target } from "../../src/trace/bytes.ts";
import { realDisk } from "../../src/trace/disk.ts";
import { checkQuota } from "../../src/trace/quota.ts";
import { openSegment } from "../../src/trace/segment.ts";
import { openStore } from "../../src/trace/store.ts";
import { runs, seed } from "../support/runs.ts";
import { bash, filesOf, newUser, put, type User, until } from "../support/user.ts";
import { workspacesIn } from "../support/work.ts";

let user: User;
beforeEach(async () => {
  user = await newUser({ "a.txt": "one\ntwo\n", "secret.env": "KEY=top-secret-value\n" });
});
afterEach(() => user.end());

/** 0 run, 1 model, 2 `b.txt`, 3 prints the secret, 4 model. */
const runFix = async (): Promise<void> => {
  const model = user.script([
    { say: "look", call: [put("b.txt", "b\n"), bash("cat secret.env; echo c > c.txt")] },
    { say: "the end" },
  ]);
  await user.does(["run", "--scope", "fix", "--model", model, "x"]);
};

test("init reads the directory once and writes nothing into it", async () => {
  const first = await user.does(["init", "--json"]);
  expect(first.objects()).toMatchObject([{ workspace: user.project, files: 2, skipped: [] }]);
  expect((await user.does(["init", "--json"])).out).toBe(first.out);
  expect(fs.readdirSync(user.project)).toEqual(["a.txt", "secret.env"]);
  expect((await user.does(["status"])).out).toContain("No runs");
});

test("doctor tells what this machine allows", async () => {
  const checks = (await user.does(["doctor", "--json"])).objects();
  expect(checks.map(({ check }) => check)).toEqual(expect.arrayContaining(["node", "store", "room", "sandbox"]));
  for (const { state, text } of checks) {
    expect(["ok", "limited"]).toContain(state);
    expect(text).not.toBe("");
  }
  const without = (await user.does(["doctor"], 0, { env: { SHEPHERD_NO_HELPER: "1" } })).out;
  if (checks.some(({ check }) => check === "helper"))
    expect(without).toMatch(
      /^limited helper .*SHEPHERD_NO_HELPER=1; run `unset SHEPHERD_NO_HELPER` to use it\.\nlimited layers /ms,
    );
  fs.chmodSync(user.store, 0o755);
  expect((await user.does(["doctor"])).out).toContain(`chmod 700 ${user.store}`);
  const { out, err } = await user.does(["doctor"], 4, { env: { SHEPHERD_DIR: "/dev/null" } });
  expect(err).toBe("");
  expect(out).toContain("unfit   store      /dev/null is no directory: name another one in SHEPHERD_DIR\n");
  expect(out).not.toContain("chmod");
});

test("fsck finds a sound store sound, also with all caches deleted, and everything still works then", async () => {
  await runFix();
  const log = (await user.does(["log", "fix", "--json"])).out;
  for (const args of [["fsck"], ["fsck", "--full"], ["fsck", "--verbose"]])
    expect((await user.does(args)).out).toBe("The store is sound.\n");
  fs.rmSync(join(user.store, "cache"), { recursive: true });
  expect((await user.does(["fsck", "--full"])).out).toBe("The store is sound.\n");
  expect((await user.does(["log", "fix", "--json"])).out).toBe(log);
  await user.does(["revert", "2"]);
  await user.does(["resume"]);
  await user.does(["merge"]);
  expect(user.read("b.txt")).toBe("b\n");
  expect((await user.does(["fsck", "--json"])).objects()).toEqual([{ errors: 0, warnings: 0, notes: 0 }]);
});

test("fsck explains damage, exits with 4, and sets a flipped bit right", async () => {
  await runFix();
  const pack = join(
    user.store,
    "objects",
    fs.readdirSync(join(user.store, "objects")).find((name) => name.endsWith(".pack"))!,
  );
  const bytes = fs.readFileSync(pack);
  const sound = Buffer.from(bytes);
  bytes[bytes.indexOf("top-secret-value")]! ^= 0x10;
  fs.writeFileSync(pack, bytes);
  const broken = await user.does(["fsck"], 4);
  expect(broken.out).toMatch(/^error /m);
  expect((await user.does(["cat", "fix@", "secret.env"], 4)).err).toMatch(/^shepherd: .*fsck.*\n$/);
  // What the damage does not touch can be read.
  expect((await user.does(["cat", "fix@", "b.txt"])).out).toBe("b\n");
  const [told] = (await user.does(["checkout", "fix@", join(user.directory, "out"), "--json"], 4)).objects();
  expect(told).toMatchObject({ missing: [{ path: "secret.env", forgotten: false }] });
  expect(filesOf(join(user.directory, "out"))).toEqual({ "a.txt": "one\ntwo\n", "b.txt": "b\n", "c.txt": "c\n" });
  expect((await user.does(["replay", "fix"], 4)).out).toContain("missing or damaged");
  await user.does(["fsck", "--repair"], 4);
  expect(fs.readFileSync(pack).equals(sound)).toBe(true);
  expect((await user.does(["fsck"])).out).toBe("The store is sound.\n");
  expect((await user.does(["cat", "fix@", "secret.env"])).out).toBe("KEY=top-secret-value\n");
});

test("replay finds one flipped bit in the log, in a blob, in a commit and in the index, and tells nothing of a sound store", async () => {
  await runFix();
  const store = await openStore(user.store);
  const scope = await attach(store, "fix");
  // So many that the log is worth an index.
  for (let i = 0; i < 250; i++) await record(scope, { kind: "work", tier: "reversible" }, { status: "done" });
  const { log } = scope.ref;
  const { sealed, steps } = scope.writer.fold;
  const blob = target(steps.get(3)!.outcome!.result!);
  await scope.close();
  await user.does(["log", "fix"]);
  /** A file, where in it something begins and ends, and what is said of damage there. */
  type Place = [file: string, from: number, to: number, sentence: string];
  const placeIn = (objects: typeof store.objects, folder: string, id: string, sentence: string): Place => {
    objects.refresh();
    const { pack, place } = objects.locate(id)!;
    const file = join(user.store, folder, `${String(pack.number).padStart(6, "0")}.pack`);
    return [file, place.offset, place.offset + place.length, sentence];
  };
  const logFile = join(user.store, "logs", `${log}.log`);
  const index = join(user.store, "cache/index", log);
  const frames = openSegment(realDisk, logFile, "log")!;
  // Not in its header, without which it is no log at all, nor in its last frame, which may have been cut short.
  const records = [...frames.scan(frames.start)];
  const places: Place[] = [
    [logFile, records[1]!.offset, records.at(-1)!.offset, "of the log form no frame"],
    placeIn(store.objects, "objects", blob, "missing or damaged"),
    ...sealed.map((step) => placeIn(store.derived, "cache/derived", step.sealed!.id, "cached commit of step")),
    [index, 0, fs.statSync(index).size, "index of the log is damaged"],
  ];
  frames.close();
  await store.close();
  expect((await user.does(["replay", "fix", "--json"])).objects()).toMatchObject([{ wrong: [] }]);
  const flips = fc.sample(fc.record({ which: fc.nat(), at: fc.nat(), bit: fc.nat(7) }), {
    seed,
    numRuns: runs(200, 16),
  });
  for (const [i, { which, at, bit }] of flips.entries()) {
    // Each kind in turn, and any of the commits.
    const commits = places.slice(2, -1);
    const kinds = [places[0]!, places[1]!, commits[which % commits.length]!, places.at(-1)!];
    const [file, from, to, sentence] = kinds[i % kinds.length]!;
    const sound = fs.readFileSync(file);
    const broken = Buffer.from(sound);
    const offset = from + (at % (to - from));
    broken[offset]! ^= 1 << bit;
    fs.writeFileSync(file, broken);
    expect((await user.shepherd(["replay", "fix"])).out, `seed ${seed}: ${file} ${offset} ${bit}`).toContain(sentence);
    fs.writeFileSync(file, sound);
  }
  expect((await user.does(["replay", "fix", "--json"])).objects()).toMatchObject([{ wrong: [] }]);
});

test("a log whose end was torn off still has every step before it, and the run goes on", async () => {
  await runFix();
  const { log } = (await user.does(["du", "--json"]))
    .objects<{ scope: string; log: string }>()
    .find(({ scope }) => scope === "fix")!;
  const file = join(user.store, "logs", `${log}.log`);
  fs.truncateSync(file, fs.statSync(file).size - 1500);
  const rows = (await user.does(["log", "fix", "--json"])).objects();
  expect(rows.at(-1)).toMatchObject({ n: 0, status: "done" });
  expect(rows[0]!.status === "done" && rows.length === 5).toBe(false);
  await user.does(["fsck"]);
  await user.does(["resume"]);
  expect((await user.does(["cat", "fix@", "c.txt"])).out).toBe("c\n");
  expect((await user.does(["status"])).out).toMatch(/fix +done/);
});

test("gc takes nothing that is needed: every step, undo and discarded runs stay; --work only costs time", async () => {
  await runFix();
  await user.does(["merge"]);
  await user.does(["fork", "2"]);
  await user.does(["discard", "fix.1"]);
  const before = (await user.does(["log", "fix", "--json"])).out;
  expect((await user.does(["gc", "--dry-run"])).out).toMatch(/^Would free /);
  const [told] = (await user.does(["gc", "--work", "--json"])).objects();
  expect(told).toMatchObject({ dryRun: false, operations: 0, scopes: [], work: 1, stopped: null });
  expect(fs.readdirSync(join(user.store, "cache/work"))).toEqual([]);
  expect((await user.does(["log", "fix", "--json"])).out).toBe(before);
  expect((await user.does(["replay", "fix", "--json"])).objects()).toMatchObject([{ wrong: [] }]);
  await user.does(["undo"]);
  expect((await user.does(["status"])).out).toContain("fix.1");
  await user.does(["undo"]);
  expect(Object.keys(user.files())).toEqual(["a.txt", "secret.env"]);
  expect((await user.does(["exec", "fix", "--", "ls"])).out).toBe("a.txt\nb.txt\nc.txt\nsecret.env\n");
  expect((await user.does(["fsck", "--full"])).out).toBe("The store is sound.\n");
});

test("gc beside a live run leaves it alone", async () => {
  const run = user.start([
    "run",
    "--scope",
    "fix",
    "--",
    "sh",
    "-c",
    "echo b > b.txt; until [ -e go ]; do sleep 0.02; done",
  ]);
  const there = (): string | undefined => workspacesIn(user.store).find((path) => fs.existsSync(join(path, "b.txt")));
  while (!there()) await new Promise((resolve) => setTimeout(resolve, 20));
  await user.does(["gc", "--work"]);
  await user.does(["fsck"]);
  expect((await user.does(["status"])).out).toMatch(/fix +running/);
  for (const verb of [
    ["exec", "fix", "--", "true"],
    ["discard", "fix"],
    ["resume", "fix"],
  ])
    expect((await user.does(verb, 3)).err).toMatch(/Another process \(pid \d+\) is driving fix/);
  fs.writeFileSync(join(there()!, "go"), "");
  expect((await run.ended).code).toBe(0);
  expect((await user.does(["cat", "fix@", "b.txt"])).out).toBe("b\n");
});

test("du says what each run takes and what the limit is", async () => {
  await runFix();
  const objects = (await user.does(["du", "--json"])).objects();
  expect(objects.map(({ scope }) => scope ?? "total").sort()).toEqual(["(main)", "fix", "total"]);
  const { total, limit } = objects.at(-1)! as { total: number; limit: number };
  expect(total).toBeGreaterThan(1000);
  expect(limit).toBeGreaterThan(total);
  const text = (await user.does(["du"], 0, { env: { SHEPHERD_QUOTA: "3GB" } })).out;
  expect(text).toContain("The limit is 3.0 GB (SHEPHERD_QUOTA)");
  expect(text).toMatch(/own +shared +log {2}run\n/);
});

test("what a run had in its files while it was forgotten goes once that has stopped", async () => {
  const holds = (): boolean => spawnSync("grep", ["-rqF", "top-secret-value", user.store]).status === 0;
  const model = user.script(
    [
      { say: "a", call: [put("secret.env", "KEY=top-secret-value\n")] },
      { say: "b", call: [bash("touch begun; sleep 60")] },
    ],
    "live",
  );
  const run = user.start(["run", "--scope", "live", "--model", model, "x"]);
  await until(() => workspacesIn(user.store).some((path) => fs.existsSync(join(path, "begun"))));
  const first = await user.does(["forget", "--containing", "top-secret", "--yes"]);
  expect(first.err).toContain("live may have it in the files that are worked on: stop it, and forget once more.");
  run.process.kill("SIGINT");
  await run.ended;
  await user.does(["forget", "--containing", "top-secret", "--yes"]);
  expect(holds()).toBe(false);
  expect((await user.does(["fsck"])).out).toContain("The store is sound");
});

test("forget destroys bytes for good: no file of the store has them, steps and ids stay, and what lacks is named", async () => {
  await runFix();
  const before = (await user.does(["log", "fix", "--json"])).out;
  const has = (): string =>
    spawnSync("grep", ["-rlF", "top-secret-value", user.store], { encoding: "utf8" }).stdout.replaceAll(
      `${user.store}/`,
      "",
    );
  expect((await user.does(["forget", "--containing", "top-secret", "--dry-run"])).out).toMatch(
    /Would destroy \d objects/,
  );
  expect((await user.does(["forget", "--containing", "top-secret"], 3)).err).toContain("add --yes");
  expect(has()).toContain("objects/");
  await user.does(["forget", "--containing", "top-secret", "--yes", "--reason", "leaked"]);
  expect(has()).toBe("");
  expect((await user.does(["log", "fix", "--json"])).out).toBe(before);
  expect((await user.does(["show", "fix", "3"])).out).toContain("[forgotten]");
  expect((await user.does(["cat", "fix@2", "secret.env"], 3)).err).toContain("forgotten on request");
  const partial = await user.does(["checkout", "fix@2", join(user.directory, "out")], 3);
  expect(partial.out).toContain("left out: secret.env (its bytes were forgotten)");
  expect(filesOf(join(user.directory, "out"))).toEqual({ "a.txt": "one\ntwo\n", "b.txt": "b\n" });
  await user.does(["checkout", "fix@2", join(user.directory, "out2"), "--partial"]);
  expect((await user.does(["replay", "fix", "--json"])).objects()).toMatchObject([{ wrong: [] }]);
  expect((await user.does(["fsck", "--full"])).out).toContain("The store is sound");
  for (const verb of ["revert", "fork"]) {
    const told = await user.does([verb, "fix", "3"], 3);
    expect(told.err).toContain("secret.env was forgotten");
    await user.does([verb, "fix", "3", "--partial"]);
  }
  // A run that had it goes on without it, and says so.
  const from = ["run", "--from", "fix@3", "--model", user.script([{ say: "a" }, { say: "the end" }], "more"), "go on"];
  for (const words of [["shell", "fix"], ["resume", "fix"], from, ["exec", "fix", "--", "ls"]]) {
    const gone = await user.does(words, 3, { input: "ls\n" });
    if (words[0] === "exec" || words[0] === "shell") expect(gone.out).toBe("a.txt\nb.txt\nc.txt\n");
    expect(gone.err.match(/secret.env was forgotten/g)).toHaveLength(1);
    const [verb, ...more] = words;
    await user.does([verb!, "--partial", ...more], 0, { input: "ls\n" });
  }
  // That is no deletion that the run made: the user's own file stays.
  expect((await user.does(["log", "fix", "-n", "1", "--json"])).objects()).toMatchObject([{ changes: { files: 0 } }]);
  await user.does(["merge", "fix"]);
  // The user's own file is the user's.
  expect(user.read("secret.env")).toBe("KEY=top-secret-value\n");
  expect((await user.does(["forget", "--containing", "no such text"])).out).toContain(
    "Nothing in the store contains that",
  );
});

test("what a run made and was forgotten does not land, and is named by its path", async () => {
  await runFix();
  await user.does(["fork", "fix@", "--scope", "other"]);
  await user.does(["exec", "other", "--", "sh", "-c", "mkdir d; echo leaked-value > d/new.txt; echo e > e.txt"]);
  await user.does(["forget", "--containing", "leaked-value", "--yes"]);
  const lacks = "not landed: d/new.txt (its bytes were forgotten)\n";
  expect((await user.does(["merge", "other", "--dry-run"], 3)).out).toContain(
    lacks.replace("not landed", "would not land"),
  );
  const landed = await user.does(["merge", "other"], 3);
  expect(landed.out).toContain(lacks);
  expect(Object.keys(user.files())).toEqual(["a.txt", "b.txt", "c.txt", "e.txt", "secret.env"]);
  expect((await user.does(["merge", "other", "--partial"])).out).toContain("its bytes were forgotten");
  await user.does(["undo"]);
  expect((await user.does(["merge", "other", "--into", "fix"])).out).toContain("Merged other into fix");
  expect((await user.does(["exec", "fix", "--", "true"], 3)).err).toContain("d/new.txt was forgotten");
});

test("forget leaves directories that have the text in a name, and tells of them", async () => {
  await runFix();
  await user.does(["exec", "fix", "--", "sh", "-c", "echo x > named-like-this"]);
  const { err } = await user.does(["forget", "--containing", "named-like-this", "--yes"], 3);
  const [, id] = /The name of a file has it.*shepherd forget ([0-9a-f]{64})\n/.exec(err)!;
  await user.does(["cat", "fix@", "named-like-this"]);
  await user.does(["forget", id!, "--yes"]);
  await user.does(["cat", "fix@", "named-like-this"], 3);
});

test("forget takes one file of one step, or an object", async () => {
  await runFix();
  expect((await user.does(["forget", "fix@", "nowhere.txt"], 2)).err).toContain("There was no file");
  const [object] = (await user.does(["cat", "fix@", "c.txt", "--json"])).objects();
  await user.does(["forget", "fix@", "c.txt", "--yes"]);
  expect((await user.does(["cat", "fix@", "c.txt"], 3)).err).toContain(String(object!.id).slice(0, 12));
  await user.does(["forget", String(object!.id), "--yes"]);
  expect((await user.does(["cat", "fix@", "b.txt"])).out).toBe("b\n");
});

test.each([
  [{ SHEPHERD_QUOTA: "lots" }, 'SHEPHERD_QUOTA="lots" is no size: write it like 20GB, 512MiB or none.'],
  [{ SHEPHERD_DIR: "store" }, 'SHEPHERD_DIR is "store", which would be another store in each directory:'],
])("%j is bad usage, which is said", async (env, sentence) => {
  const { err } = await user.does(["run", "--", "true"], 2, { env });
  expect(err).toContain(`shepherd: ${sentence}`);
  expect(fs.readdirSync(user.project)).toEqual(["a.txt", "secret.env"]);
});

test("a full quota refuses new work with a sentence, and lets everything else be done", async () => {
  await runFix();
  const typed = { env: { SHEPHERD_QUOTA: "1kB" } };
  const { err } = await user.does(["run", "--", "true"], 4, typed);
  expect(err).toMatch(/^shepherd: The store takes .* of the 1\.0 kB that it may: `shepherd gc` frees .*\n$/);
  for (const args of [
    ["log", "fix"],
    ["diff", "fix"],
    ["merge", "fix"],
    ["undo"],
    ["revert", "fix", "2"],
    ["undo"],
    ["gc"],
    ["du"],
    ["fsck"],
  ])
    await user.does(args, 0, typed);
  expect((await user.does(["doctor"], 4, typed)).out).toContain("unfit   room");
  expect((await user.does(["status"], 0, typed)).out).not.toContain("true");
  await user.does(["run", "--", "true"], 0, { env: { SHEPHERD_QUOTA: "none" } });
});

test("from 80 % of the quota on new work is warned of, and done", async () => {
  await runFix();
  // So much that the few bytes of each command do not matter.
  fs.writeFileSync(join(user.store, "filler"), Buffer.alloc(20e6, 1));
  const store = await openStore(user.store);
  const { used } = await checkQuota(store);
  await store.close();
  const at = (part: number) => ({ env: { SHEPHERD_QUOTA: String(Math.round(used / part)) } });
  expect((await user.does(["run", "--", "true"], 0, at(0.75))).err).toBe("");
  expect((await user.does(["doctor"], 0, at(0.75))).out).toMatch(/^ok {6}room /m);
  const { err } = await user.does(["run", "--", "true"], 0, at(0.85));
  expect(err).toMatch(
    /^shepherd: The store takes 20 MB of the 24 MB that it may: `shepherd gc` frees .* SHEPHERD_QUOTA=\S+ allows more\.\n$/,
  );
  expect((await user.does(["doctor"], 0, at(0.85))).out).toMatch(/^limited room {7}The store takes /m);
});

test("without a word of the user's discarded runs and operations are kept for 30 days, and no longer", async () => {
  await runFix();
  await user.does(["fork", "fix@2", "--scope", "other"]);
  await user.does(["discard", "other"]);
  await user.does(["merge", "fix"]);
  const clock = join(user.directory, "clock.cjs");
  const after = (days: number) => {
    fs.writeFileSync(clock, `const { now } = Date; Date.now = () => now() + ${days} * 86_400_000;\n`);
    return { env: { NODE_OPTIONS: `--require ${clock}` } };
  };
  const [kept] = (await user.does(["gc", "--json"], 0, after(29.9))).objects();
  expect(kept).toMatchObject({ operations: 0, scopes: [], logs: { removed: 0 } });
  expect((await user.does(["status", "--all"])).out).toMatch(/^other +discarded/m);
  const [gone] = (await user.does(["gc", "--json"], 0, after(30.1))).objects();
  expect(gone).toMatchObject({ operations: 2, scopes: ["other"], logs: { removed: 1 } });
  expect((await user.does(["status", "--all"])).out).toMatch(/^fix +done .*\n$/);
  expect((await user.does(["undo"], 2)).err).toMatch(/^shepherd: [^\n]+\n$/);
  expect((await user.does(["cat", "fix@", "b.txt"])).out).toBe("b\n");
});

test("a store in a newer format, or in none, is refused by every verb and left as it is", async () => {
  await runFix();
  for (const [format, says] of [
    ["shepherd store 99\n", "update Shepherd"],
    ["something else\n", "is not a store of Shepherd"],
  ] as const) {
    fs.writeFileSync(join(user.store, "format"), format);
    const before = filesOf(user.store);
    for (const args of [["status"], ["log"], ["run", "--", "true"], ["merge"], ["gc"], ["init"]])
      expect((await user.does(args, 4)).err).toMatch(new RegExp(`^shepherd: .*${says}.*\\n$`));
    await user.does(["fsck"], 4);
    await user.does(["doctor"], 4);
    expect(filesOf(user.store)).toEqual(before);
  }
  fs.writeFileSync(join(user.store, "format"), "shepherd store 1\n");
  expect((await user.does(["log"])).out).toContain("the end");
});

test("a store that can only be read can be read, and the rest is one sentence and exit code 4", async () => {
  const nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
  if (process.getuid?.() !== 0 || spawnSync("setpriv", [...nobody, "true"]).status !== 0)
    return console.log("skipped: this needs to run as another user than root");
  await runFix();
  fs.chmodSync(user.directory, 0o755);
  spawnSync("chmod", ["-R", "a-w,a+rX", user.store]);
  const as = (args: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync("setpriv", [...nobody, process.execPath, user.command, ...args], {
      cwd: user.project,
      env: user.env,
      encoding: "utf8",
    });
  const before = filesOf(user.store);
  for (const args of [
    ["status"],
    ["log"],
    ["show", "2"],
    ["cat", "2", "b.txt"],
    ["diff", "2"],
    ["replay"],
    ["du"],
    ["fsck"],
    ["undo", "--list"],
    ["diff"],
    ["init"],
  ]) {
    const { status, stderr } = as(args);
    expect([status, stderr.replace(/^\(.*\)\n/, "")], args.join(" ")).toEqual([0, ""]);
  }
  for (const args of [
    ["run", "--", "true"],
    ["revert", "2"],
    ["merge"],
    ["gc"],
    ["fork", "2"],
    ["exec", "--", "true"],
    ["discard"],
  ]) {
    const { status, stderr } = as(args);
    expect(status, args.join(" ")).toBe(4);
    expect(stderr.replace(/^\(.*\)\n/, ""), args.join(" ")).toMatch(
      /^shepherd: \/.* can only be read by this user: make it writable to record anything\.\n$/,
    );
  }
  expect(as(["doctor"]).stdout).toContain(`unfit   store      ${user.store} cannot be written by this user: chmod u+w`);
  // What the user has changed since cannot be written down, and is looked at all the same.
  user.write({ "a.txt": "one\nTWO\n", "new.txt": "mine\n" });
  const { status, stdout, stderr } = as(["diff", "--stat"]);
  expect([status, stdout, stderr.replace(/^\(.*\)\n/, "")]).toEqual([0, "added    b.txt\nadded    c.txt\n", ""]);
  expect(filesOf(user.store)).toEqual(before);
});

test("a store or a home that is mounted read-only is said to be so, and can be read", async () => {
  await runFix();
  await user.does(["exec", "fix", "--", "sh", "-c", "echo theirs > a.txt"]);
  user.write({ "a.txt": "mine\n" });
  const mounted = (place: string, args: string[], env = {}) => {
    const script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"';
    return spawnSync("unshare", ["--mount", "sh", "-c", script, place, process.execPath, user.command, ...args], {
      cwd: user.project,
      env: { ...user.env, ...env },
      encoding: "utf8",
    });
  };
  if (mounted(user.store, ["--version"]).status !== 0) return console.log("skipped: nothing can be mounted here");
  const only = "is on a file system that is mounted read-only: mount it writable";
  const { status, stdout } = mounted(user.store, ["doctor"]);
  expect([status, stdout]).toEqual([4, expect.stringContaining(`unfit   store      ${user.store} ${only}, or name`)]);
  for (const args of [["run", "--", "true"], ["merge"], ["gc"]]) {
    const told = mounted(user.store, args);
    expect([told.status, told.stderr.replace(/^\(.*\)\n/, "")]).toEqual([
      4,
      expect.stringMatching(`^shepherd: ${user.store}\\S* ${only} to record anything\\.\n$`),
    ]);
  }
  const diff = mounted(user.store, ["diff", "fix"]);
  expect([diff.status, diff.stderr]).toEqual([0, "shepherd: a.txt: you and fix changed the same place (content).\n"]);
  expect(diff.stdout).toContain("added b.txt\n@@ -0,0 +1,1 @@\n+b\n");
  const home = mounted(user.home, ["doctor"], { SHEPHERD_DIR: "" });
  const would = `${user.home}, in which ${user.home}/.local/share/shepherd would be made, ${only}, or name`;
  expect([home.status, home.stdout]).toEqual([4, expect.stringContaining(`unfit   store      ${would}`)]);
});

test("directories that are not there, or no place to work in, are said to be so", async () => {
  await runFix();
  fs.renameSync(user.project, `${user.project}.moved`);
  for (const verb of ["merge", "diff", "sync"])
    expect((await user.does([verb, "fix"], 2, { cwd: user.home })).err).toContain("is not there any more");
  await user.does(["log", "fix"], 0, { cwd: user.home });
  fs.renameSync(`${user.project}.moved`, user.project);
  await user.does(["merge", "fix"], 0, { cwd: user.home });
  expect((await user.does(["run", "--", "true"], 2, { cwd: join(user.store, "objects") })).err).toContain(
    "in the store",
  );
  expect((await user.does(["run", "--", "true"], 2, { cwd: "/" })).err).toContain("is the whole machine");
  await user.does(["init"], 2, { cwd: "/" });
  const files = user.files();
  await user.shepherd(["status"], { env: { SHEPHERD_DIR: "", XDG_DATA_HOME: "", HOME: "" } });
  expect(user.files()).toEqual(files);
  for (const HOME of ["", "relative"]) {
    expect((await user.does(["run", "--", "true"], 0, { env: { HOME } })).err).toBe("");
    await user.shepherd(["status"], { env: { SHEPHERD_DIR: "", HOME } });
    expect(user.files()).toEqual(files);
  }
  const gone = 'mkdir gone; cd gone; rmdir ../gone; exec "$@"';
  const { status, stderr } = spawnSync("bash", ["-c", gone, "-", process.execPath, user.command, "status"], {
    cwd: user.home,
    env: user.env,
    encoding: "utf8",
  });
  expect([status, stderr]).toEqual([2, "shepherd: The directory that you are in was removed: change to another.\n"]);
});
