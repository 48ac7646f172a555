/** Processes that go on after the call that started them: what they write is in a step, whatever comes next. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { bash, newUser, type Running, type User, until } from "../support/user.ts";
import { workspacesIn } from "../support/work.ts";

const users: User[] = [];
afterEach(() => {
  for (const user of users.splice(0)) user.end();
});

/** A run whose model thinks for long while a process of its first call has just written `db`. */
async function thinking(writes = "echo data > db", first = ":"): Promise<{ user: User; run: Running }> {
  const user = await newUser();
  users.push(user);
  const gate = join(user.directory, "gate");
  fs.mkdirSync(gate);
  const server = `until [ -e ${gate}/write ]; do sleep 0.01; done; ${writes}; touch ${gate}/written; exec sleep 100`;
  const script = user.script([
    { call: [bash(`${first}; (${server}) >/dev/null 2>&1 &`)] },
    { say: "the end", delay: 60_000 },
  ]);
  const run = user.start(["run", "--scope", "fix", "--write", gate, "--model", script, "go"]);
  await until(async () => (await rows(user))[0] === "3 model (intent)");
  fs.writeFileSync(join(gate, "write"), "");
  await until(() => fs.existsSync(join(gate, "written")));
  return { user, run };
}

const rows = async (user: User): Promise<string[]> => {
  const log = await user.shepherd(["log", "fix", "--json"]);
  if (log.code !== 0) return [];
  return log
    .objects<{ n: number; kind: string; status: string }>()
    .map(({ n, kind, status }) => `${n} ${kind}${status === "done" ? "" : ` (${status})`}`);
};

test("what a process has written last is a step of its own when the run ends", async () => {
  const { user, run } = await thinking();
  run.process.kill("SIGINT");
  await run.ended;
  expect((await rows(user)).slice(0, 2)).toEqual(["4 work", "3 model (aborted)"]);
  expect((await user.does(["log", "fix", "-n", "1"])).out).toContain("written in the background");
  expect((await user.does(["cat", "fix@", "db"])).out).toBe("data\n");
  expect((await user.does(["fsck"])).out).toContain("The store is sound");
});

test("so is what it has committed and no file shows", async () => {
  const { user, run } = await thinking("git commit -q --allow-empty -m behind", "git init -q");
  run.process.kill("SIGINT");
  await run.ended;
  expect((await rows(user)).slice(0, 2)).toEqual(["4 work", "3 model (aborted)"]);
  expect((await user.does(["exec", "fix", "--", "git", "log", "--format=%s"])).out).toBe("behind\n");
});

test("a revert of a run that goes on first records what its processes have written, so undo brings that back", async () => {
  const { user, run } = await thinking();
  await user.does(["revert", "fix", "2"]);
  expect((await user.does(["cat", "fix@", ""])).out).toBe("a.txt\n");
  await user.does(["undo"]);
  expect((await user.does(["cat", "fix@", "db"])).out).toBe("data\n");
  run.process.kill("SIGINT");
  await run.ended;
});

test("a sync stops no process, and takes nothing away that it has written", async () => {
  const { user, run } = await thinking();
  user.write({ "a.txt": "two\n", "new.txt": "new\n" });
  await user.does(["sync", "fix"]);
  expect((await rows(user)).slice(0, 3)).toEqual(["3 model (intent)", "5 sync", "4 work"]);
  const [files] = workspacesIn(user.store) as [string];
  expect(fs.readdirSync(files).sort()).toEqual(["a.txt", "db", "new.txt"]);
  expect(fs.readFileSync(join(files, "a.txt"), "utf8")).toBe("two\n");
  run.process.kill("SIGINT");
  await run.ended;
  expect((await user.does(["cat", "fix@", ""])).out).toBe("a.txt\ndb\nnew.txt\n");
});

test("without namespaces, what a killed owner left running is ended before the scope goes on", async () => {
  if (!fs.existsSync("/proc/self/environ")) return console.log("skipped: this needs /proc");
  const user = await newUser();
  users.push(user);
  const typed = { env: { SHEPHERD_NO_NAMESPACES: "1" } };
  const beat = join(user.directory, "beat");
  const loop = `setsid sh -c 'while :; do echo x >> late.txt; echo x >> "${beat}"; sleep 0.01; done' & wait`;
  const run = user.start(["run", "--scope", "fix", "--", "sh", "-c", loop], typed);
  await until(() => fs.existsSync(beat));
  run.process.kill("SIGKILL");
  await run.ended;
  const size = (): number => fs.statSync(beat).size;
  const killed = size();
  await until(() => size() > killed, "it has ended by itself");
  await user.does(["revert", "fix", "0"], 0, typed);
  expect((await user.does(["exec", "fix", "--", "ls"], 0, typed)).out).toBe("a.txt\n");
  const ended = size();
  expect((await user.does(["exec", "fix", "--", "ls"], 0, typed)).out).toBe("a.txt\n");
  expect(size()).toBe(ended);
});

const python = spawnSync("python3", ["--version"]).status === 0;
test.skipIf(!python)(
  "a write through a shared mapping, which leaves no stamp, is in the step in which it was done",
  async () => {
    const user = await newUser();
    users.push(user);
    const mapping = `import mmap, os, time
fd = os.open("db", os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 4096)
page = mmap.mmap(fd, 4096); os.close(fd)
page[0:6] = b"first "; open("/tmp/mapped", "w").close()
for name in ("second", "third "):
    while not os.path.exists("/tmp/" + name.strip()): time.sleep(0.01)
    page[0:6] = name.encode(); open("/tmp/written-" + name.strip(), "w").close()
`;
    const goOn = (name: string): string =>
      `touch /tmp/${name}; until [ -e /tmp/written-${name} ]; do sleep 0.01; done; sleep 0.1`;
    const script = user.script([
      { call: [bash(`echo '${mapping}' > map.py`)] },
      { call: [bash("python3 map.py >/dev/null 2>&1 & until [ -e /tmp/mapped ]; do sleep 0.01; done; sleep 0.1")] },
      { call: [bash(goOn("second"))] },
      { call: [bash(`${goOn("third")}; wait`)] },
      { call: [bash("true")] },
      { say: "the end" },
    ]);
    await user.does(["run", "--scope", "fix", "--model", script, "go"]);
    const seen: string[] = [];
    for (const n of [4, 6, 8, 10]) seen.push((await user.does(["cat", `fix@${n}`, "db"])).out.slice(0, 6));
    expect(seen).toEqual(["first ", "second", "third ", "third "]);
  },
);
