/** A disk that is full: said clearly, nothing is lost, and it works again once there is room. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bash, newUser, put, type User, until } from "../support/user.ts";
import { workspacesIn } from "../support/work.ts";

let user: User;
/** Why the store has no disk of its own here; null if it has. */
let why: string | null = null;

beforeAll(async () => {
  user = await newUser();
  fs.mkdirSync(user.store, { mode: 0o700 });
  const image = join(user.directory, "disk.img");
  fs.writeFileSync(image, "");
  // Sparse: what is written to it is little.
  fs.truncateSync(image, 700 << 20);
  for (const [program, ...args] of [
    ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1", image],
    ["mount", "-o", "loop", image, user.store],
    ["chmod", "700", user.store],
  ] as Array<[string, ...string[]]>) {
    const { status, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
    if (status !== 0) why ??= `${program}: ${error?.message ?? stderr.trim()}`;
  }
});
afterAll(() => {
  if (why === null) spawnSync("umount", ["-l", user.store]);
  user.end();
});

const filler = (): string => join(user.store, "filler");
/** Takes all room that there is, without writing as much. */
function fill(): void {
  for (let size = 1 << 30; size >= 4096; size = Math.floor(size / 2))
    while (spawnSync("fallocate", ["-l", String(size), `${filler()}${size}.${Math.random()}`]).status === 0);
  expect(fs.statfsSync(user.store).bavail).toBeLessThan(8);
}
function makeRoom(): void {
  for (const name of fs.readdirSync(user.store)) if (name.startsWith("filler")) fs.rmSync(join(user.store, name));
}
/** A file that the step under way waits for to go. */
function waiting(): string | undefined {
  return workspacesIn(user.store)
    .map((path) => join(path, "wait"))
    .find((file) => fs.existsSync(file));
}

const FULL =
  /^shepherd: The disk is full, so \S+ could not be written: free some space and try again\. What was recorded before is safe\.\n$/;

/** Where it is no record that could not be written, but what a run's files need. */
const NO_ROOM =
  /^shepherd: The disk is full\. Nothing that was written before is lost; free some room \(.*\) and try again\. \(ENOSPC: .*\)\n$/;
const FULL_AT_ALL = new RegExp(`${FULL.source}|${NO_ROOM.source}`);

test("a run that fills the disk ends with a clear error and keeps every step; after room was made it goes on to its end", async () => {
  if (why !== null) return console.log(`skipped: no file system can be mounted here (${why})`);
  const typed = { env: { SHEPHERD_QUOTA: "none" } };
  await user.does(
    ["run", "--scope", "old", "--", "sh", "-c", "echo old > old.txt; head -c 300000 /dev/urandom > old.bin"],
    0,
    typed,
  );
  const model = user.script([
    { say: "a", call: [put("one.txt", "1\n")] },
    {
      say: "b",
      call: [
        bash(
          "touch wait; until [ ! -e wait ]; do sleep 0.02; done; echo two > two.txt; head -c 2000000 /dev/zero | tr '\\0' x",
        ),
      ],
    },
    { say: "c", call: [put("three.txt", "3\n")] },
    { say: "the end" },
  ]);
  const run = user.start(["run", "--scope", "fix", "--model", model, "x"], typed);
  await until(() => waiting() !== undefined);
  fill();
  fs.rmSync(waiting()!);
  const ended = await run.ended;
  expect([ended.code, ended.err]).toEqual([4, expect.stringMatching(FULL)]);
  expect(ended.out).toContain("fix stopped on an error");

  const steps = (await user.does(["log", "fix"])).out;
  expect(steps).toMatch(/\* {3}4 .*\n\* {3}3 .*· b\n\* {3}2 .*write one\.txt.*\n\* {3}1 .*· a\n\* {3}0 /);
  for (const args of [
    ["status"],
    ["show", "fix", "2"],
    ["cat", "old@", "old.txt"],
    ["replay", "old"],
    ["du"],
    ["fsck"],
    ["checkout", "old@", join(user.directory, "out")],
  ])
    await user.does(args, 0, typed);
  // What a run that ends gives up makes room again.
  fill();
  for (const args of [
    ["merge", "old"],
    ["exec", "old", "--", "true"],
    ["discard", "old"],
    ["fork", "old@"],
  ]) {
    const { code, err } = await user.shepherd(args, typed);
    // What fits into the last block that is begun is done.
    if (code !== 0) expect([code, err], args.join(" ")).toEqual([4, expect.stringMatching(FULL_AT_ALL)]);
    if (code === 0 && args[0] === "discard") await user.does(["undo"]);
  }
  // Where its files stand on layers little has to be written before the command that was under way is performed again.
  const going = user.start(["resume", "fix"], typed);
  let code: number | null | undefined;
  going.ended.then((done) => {
    code = done.code;
  });
  await until(() => code !== undefined || waiting() !== undefined);
  if (code === undefined) going.process.kill("SIGKILL");
  const stopped = await going.ended;
  if (stopped.code !== null) expect([stopped.code, stopped.err]).toEqual([4, expect.stringMatching(FULL_AT_ALL)]);
  expect((await user.does(["run", "--", "true"], 4, typed)).err).toMatch(
    /^shepherd: The disk has .* left, and Shepherd starts nothing new below .*\n$/,
  );
  expect((await user.does(["doctor"], 4, typed)).out).toContain("unfit   room");
  expect(Object.keys(user.files())).toEqual(["a.txt"]);

  // Not even what fits into blocks that are begun can be written.
  for (const name of fs.readdirSync(user.store).filter((each) => /^(leases|refs)\.\d+$/.test(each))) {
    const file = join(user.store, name);
    fs.truncateSync(file, Math.ceil(fs.statSync(file).size / 4096) * 4096);
  }
  fill();
  const freed = await user.does(["gc", "--work"], 0, typed);
  expect(freed.err).toBe("shepherd: The disk is full: what was kept back for that in the store is used now.\n");
  expect(freed.out).toMatch(/ [1-9]\d* work director(y|ies) went\.$/m);
  expect(fs.statfsSync(user.store).bavail).toBeGreaterThan(64);
  expect(fs.existsSync(join(user.store, "reserve"))).toBe(true);

  makeRoom();
  await user.does(["fsck", "--full"]);
  const resumed = user.start(["resume", "fix"], typed);
  await until(() => waiting() !== undefined);
  fs.rmSync(waiting()!);
  expect((await resumed.ended).code).toBe(0);
  const now = (await user.does(["log", "fix"])).out;
  expect(now).toContain(steps.slice(steps.indexOf("*   3 ")));
  expect((await user.does(["cat", "fix@", ""])).out).toBe("a.txt\none.txt\nthree.txt\ntwo.txt\n");
  await user.does(["merge", "fix"]);
  expect(user.read("three.txt")).toBe("3\n");
  await user.does(["undo"]);
  await user.does(["merge", "old"]);
  expect(user.read("old.txt")).toBe("old\n");
  await user.does(["gc"]);
  await user.does(["fsck", "--full"]);
}, 120_000);
