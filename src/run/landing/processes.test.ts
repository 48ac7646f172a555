/** Landings against other processes: users that save while one lands, and landings that are killed. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as os from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Dir, dir, file, flatten, linkTo, make, onDisk, put, trees } from "../../../test/support/landing.ts";
import { memoryObjects } from "../../../test/support/objects.ts";
import { runs, seed } from "../../../test/support/runs.ts";
import type { Link, Objects } from "../../trace/ports.ts";
import { openStore } from "../../trace/store.ts";
import { capture } from "../../world/capture.ts";
import { type Landing, land } from "./land.ts";
import { linkOf, planLanding } from "./plan.ts";
import { recoverLanding } from "./recover.ts";

const here = dirname(fileURLToPath(import.meta.url));
const home = resolve(here, "../../..");
/** Of the long runs, on a machine that does other things too. */
const TIMEOUT = 600_000;
let temporary = "";
const script = (name: string) => join(temporary, "out/test/support", `${name}.js`);

beforeAll(() => {
  temporary = fs.mkdtempSync(join(os.tmpdir(), "landings-"));
  const config = {
    extends: join(home, "tsconfig.json"),
    compilerOptions: { noEmit: false, noCheck: true, rootDir: home, outDir: join(temporary, "out"), types: [] },
    include: [],
    files: ["landing-child", "landing-user"].map((name) => join(home, "test/support", `${name}.ts`)),
  };
  fs.writeFileSync(join(temporary, "tsconfig.json"), JSON.stringify(config));
  execFileSync(join(home, "node_modules/.bin/tsc"), ["-p", join(temporary, "tsconfig.json")]);
  fs.writeFileSync(join(temporary, "out/package.json"), '{"type":"module"}');
  fs.symlinkSync(join(home, "node_modules"), join(temporary, "node_modules"));
  fs.chmodSync(temporary, 0o755);
});
afterAll(() => fs.rmSync(temporary, { recursive: true, force: true }));

/** Numbers below one, the same for the same seed. */
function random(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

describe("killed", () => {
  const many = (round: string): Dir => ({
    ...dir(
      Object.fromEntries(
        Array.from({ length: 40 }, (_, n) => [`file${n}`, file(`${round} ${n}`, n % 2 ? 0o644 : 0o755)]),
      ),
    ),
  });
  const from: Dir = dir({
    ...many("old").in,
    sub: dir({ gone: file("gone"), swaps: file("a file") }),
    link: linkTo("old"),
  });
  const to: Dir = dir({
    ...many("new").in,
    sub: dir({ swaps: dir({ in: file("in") }), come: file("come") }),
    link: linkTo("new"),
  });

  test(
    "at any moment: the next one ends it, and what the user does in between is kept",
    async () => {
      const next = random(seed);
      const store = join(temporary, "store");
      const { objects, close } = await openStore(store);
      const ids = [await put(objects, from), await put(objects, to)] as const;
      await objects.sync();
      const { changes } = await planLanding(objects, ...ids);
      let lasts = 0;
      let begun = 0;
      for (let run = 0; run <= runs(50, 6); run++) {
        const root = fs.mkdtempSync(join(temporary, "main-"));
        make(root, from);
        const journal = join(temporary, `journal-${run}`);
        fs.writeFileSync(journal, "");
        const landing = spawn(process.execPath, [script("landing-child"), store, root, String(run), ...ids, journal], {
          stdio: ["ignore", "pipe", "inherit"],
        });
        const lines = createInterface({ input: landing.stdout! });
        const exit = once(landing, "exit");
        await once(lines, "line");
        // The first one is let go to its end: so long does one take.
        const start = performance.now();
        if (run > 0) {
          await new Promise((done) => setTimeout(done, next() * lasts));
          landing.kill("SIGKILL");
        }
        await exit;
        if (run === 0) lasts = performance.now() - start;
        const edited = [Math.floor(next() * 40), Math.floor(next() * 40)];
        for (const n of edited) fs.writeFileSync(`${root}/file${n}`, `mine ${n}`);
        const records = fs.readFileSync(journal, "latin1").split("\n").filter(Boolean) as Link[];
        const done = await recoverLanding({
          dir: root,
          id: String(run),
          changes,
          objects,
          sync: () => objects.sync(),
          journal: async (record) => fs.appendFileSync(journal, `${record}\n`),
          records,
        });
        if (done) begun++;
        const disk = onDisk(root);
        const wanted = flatten(done ? to : from);
        for (const n of edited) {
          const there = disk.get(`file${n}`)!;
          const kept = await contents(objects, done, `file${n}`);
          expect([there.replace(/^f \d+ /, ""), ...kept]).toContain(`mine ${n}`);
          wanted.set(`file${n}`, there);
        }
        expect(disk).toEqual(wanted);
        fs.rmSync(root, { recursive: true });
      }
      expect(begun).toBeGreaterThan(0);
      await close();
    },
    TIMEOUT,
  );
});

/** Contents that a landing kept or told for a path. */
async function contents(objects: Objects, done: Landing | null, path: string): Promise<string[]> {
  const links = [
    ...(done?.conflicts ?? []).flatMap((each) =>
      each.path.toString() === path ? [...each.kept, ...(linkOf(each.theirs) ? [linkOf(each.theirs)!] : [])] : [],
    ),
    ...(done?.displaced ?? []).flatMap((each) => (each.path.toString() === path ? [each.link] : [])),
  ];
  const found: string[] = [];
  for (const link of links) found.push(Buffer.from((await objects.get(link.slice(link.indexOf(":") + 1)))!).toString());
  return found;
}

/** Saves files as fast as it can, in both ways that editors have, and tells what it saved last. */
const SAVER = `
const fs = require("node:fs");
const [root, count] = [process.argv[1], Number(process.argv[2])];
const nap = new Int32Array(new SharedArrayBuffer(4));
let serial = 0;
require("node:readline").createInterface({ input: process.stdin }).on("line", () => {
  const last = {};
  for (let n = 0; n < 100; n++) {
    const name = "f" + (serial % count);
    const bytes = "saved " + serial++ + " " + name;
    try {
      if (serial % 3 === 0) {
        fs.writeFileSync(root + "/" + name + ".swp", bytes);
        fs.renameSync(root + "/" + name + ".swp", root + "/" + name);
      } else {
        const fd = fs.openSync(root + "/" + name, serial % 3 === 1 ? "w" : "r+");
        if (serial % 5 === 0) Atomics.wait(nap, 0, 0, 1);
        fs.ftruncateSync(fd);
        fs.writeSync(fd, bytes, 0);
        fs.closeSync(fd);
      }
      last[name] = bytes;
      if (serial % 4) Atomics.wait(nap, 0, 0, (serial % 4) / 4);
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
    }
  }
  process.stdout.write(JSON.stringify(last) + "\\n");
});
`;

describe("saving meanwhile", () => {
  test(
    "no save is lost, whichever way it was saved",
    async () => {
      const count = 8;
      const root = fs.mkdtempSync(join(temporary, "main-"));
      const objects = memoryObjects();
      for (let n = 0; n < count; n++) fs.writeFileSync(`${root}/f${n}`, "first");
      const saver: ChildProcess = spawn(process.execPath, ["-e", SAVER, root, String(count)], {
        stdio: ["pipe", "pipe", "inherit"],
      });
      const answers = createInterface({ input: saver.stdout! });
      let id = 0;
      try {
        for (let round = 0; round < runs(100, 4); round++) {
          const answer = once(answers, "line");
          let saving = true;
          answer.then(() => {
            saving = false;
          });
          saver.stdin!.write("go\n");
          const kept = new Map<string, Set<string>>();
          for (let landing = 0; saving || landing === 0; landing++) {
            const { tree } = await capture(root, objects);
            const wanted = dir(
              Object.fromEntries(Array.from({ length: count }, (_, n) => [`f${n}`, file(`landed ${id}`)])),
            );
            const { changes } = await planLanding(objects, tree, await put(objects, wanted));
            const only = changes.filter(({ path }) => /^f\d+$/.test(path.toString()));
            const done = await land({
              dir: root,
              id: String(id++),
              changes: only,
              objects,
              sync: async () => {},
              journal: async () => {},
            });
            for (let n = 0; n < count; n++) {
              const set = kept.get(`f${n}`) ?? new Set();
              kept.set(`f${n}`, set);
              for (const each of await contents(objects, done, `f${n}`)) set.add(each);
            }
          }
          const last = JSON.parse(String((await answer)[0])) as { [name: string]: string };
          for (const [name, bytes] of Object.entries(last))
            expect([fs.readFileSync(`${root}/${name}`, "utf8"), ...kept.get(name)!]).toContain(bytes);
          expect(fs.readdirSync(root).filter((name) => name.startsWith("."))).toEqual([]);
        }
      } finally {
        saver.kill("SIGKILL");
      }
    },
    TIMEOUT,
  );
});

describe.runIf(process.geteuid?.() === 0)("as a user who is not root", () => {
  interface Task {
    root?: string;
    from: Dir;
    to: Dir;
  }
  const NOBODY = { uid: 65534, gid: 65534 };

  /** Lands each task as another user; gives what is there then, and the conflicts. */
  function asUser(tasks: readonly Task[]): { disk: [string, string][]; conflicts: string[] }[] {
    const home = fs.mkdtempSync(join(temporary, "user-"));
    fs.chownSync(home, NOBODY.uid, NOBODY.gid);
    const answer = execFileSync(process.execPath, [script("landing-user")], {
      input: JSON.stringify(tasks),
      env: { ...process.env, TMPDIR: home },
      ...NOBODY,
    });
    return JSON.parse(answer.toString());
  }
  /** A workspace of that user's, made by root. */
  const workspace = (tree: Dir): string => {
    const root = fs.mkdtempSync(join(temporary, "main-"));
    make(root, tree);
    fs.chownSync(root, NOBODY.uid, NOBODY.gid);
    return root;
  };
  test(
    "directories that are not writable are made so for as long as it takes",
    () => {
      const tasks = fc.sample(fc.record({ from: trees, to: trees }), { numRuns: runs(300, 30), seed });
      for (const [index, { disk, conflicts }] of asUser(tasks).entries()) {
        expect(conflicts).toEqual([]);
        expect(new Map(disk)).toEqual(flatten(tasks[index]!.to));
      }
    },
    TIMEOUT,
  );

  test("what belongs to another user, or may not be read or changed, is left and told", () => {
    const from = dir({ foreign: file("1"), secret: file("1", 0o600), own: file("1"), locked: dir({ in: file("1") }) });
    const to = dir({
      foreign: file("2"),
      secret: file("2", 0o600),
      own: file("2"),
      locked: dir({ in: file("2"), more: file("2") }),
    });
    const root = workspace(from);
    fs.chownSync(`${root}/own`, NOBODY.uid, NOBODY.gid);
    const [result] = asUser([{ root, from, to }]);
    expect(result!.conflicts).toEqual([
      "foreign: belongs to another user: land as that user, or as root",
      "locked/in: belongs to another user: land as that user, or as root",
      "locked/more: may not be changed by you: give yourself the permission and land again",
      "secret: cannot be read",
    ]);
    expect(onDisk(root)).toEqual(flatten(dir({ ...from.in, own: file("2") })));
  });
});
