/** The first run of a large directory: its tools work on the user's own files while these are still being read. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { mountsOf } from "../../src/scope/driver.ts";
import { readScope } from "../../src/scope/view.ts";
import { openStore } from "../../src/trace/store.ts";
import { type Gated, gated, wait } from "../support/gated.ts";
import { bash, newUser, type Turn, type User } from "../support/user.ts";

const users: User[] = [];
afterEach(() => {
  for (const user of users.splice(0)) user.end();
});

const LINES = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";

/** So many files that they are not written anew before the first tool. */
async function largeProject(): Promise<User> {
  const user = await newUser({ "a.txt": LINES, "b.txt": "b\n", "c.txt": "c\n" });
  users.push(user);
  for (let dir = 0; dir < 51; dir++) {
    fs.mkdirSync(join(user.project, `many/${dir}`), { recursive: true });
    for (let file = 0; file < 100; file++)
      fs.writeFileSync(join(user.project, `many/${dir}/${file}`), `${dir} ${file}`);
  }
  return user;
}

const standing = async (turns: (gate: string) => Turn[]): Promise<Gated & { user: User }> => {
  const user = await largeProject();
  return { user, ...gated(user, turns) };
};

const kinds = async (user: User): Promise<string[]> =>
  (await user.does(["log", "fix", "--json"]))
    .objects<{ n: number; kind: string; status: string }>()
    .sort((a, b) => a.n - b.n)
    .map(({ n, kind, status }) => `${n} ${kind}${status === "done" ? "" : ` (${status})`}`);

/** Whether it says in its log that it stands on the user's own files. */
async function standsLive(user: User): Promise<boolean> {
  const store = await openStore(user.store);
  try {
    const { log } = await readScope(store, "fix");
    for await (const { facts } of store.logs.read(log)) if (facts.note === "base") return facts.base === "live";
    return false;
  } finally {
    await store.close();
  }
}

describe.skipIf(!(await mountsOf()))("a first run of a large directory", () => {
  test("begins at once, leaves the user's files alone, and has what shows through as a step of its own", async () => {
    const { user, run, begun, go } = await standing((gate) => [
      { call: [bash("sed -i s/2/TWO/ a.txt; rm c.txt; mv many/7 many/seven; echo n > new.txt"), wait(gate, "one")] },
      { call: [bash("cat b.txt user.txt; sed -i s/4/FOUR/ a.txt"), wait(gate, "two")] },
      { say: "the end" },
    ]);
    await begun("one");
    user.write({ "b.txt": "b of the user\n", "user.txt": "user\n", "many/3/user": "user\n" });
    fs.rmSync(join(user.project, "many/5/5"));
    const own = user.files();
    go("one");
    await begun("two");
    expect(await standsLive(user)).toBe(true);
    go("two");
    const { code, err } = await run.ended;
    expect([code, err]).toEqual([0, ""]);
    expect(user.files()).toEqual(own);
    const rows = await kinds(user);
    const sync = rows.findIndex((row) => row.includes("sync"));
    expect(rows.filter((row) => row.includes("sync"))).toHaveLength(1);
    // What showed through is in the states behind it, and in none before.
    const n = Number(rows[sync]!.split(" ")[0]);
    const before = rows.findLastIndex((row, at) => at < sync && row.includes("model"));
    const at = async (step: number, path: string): Promise<string> =>
      (await user.shepherd(["cat", `fix@${step}`, path])).out;
    expect(await at(before, "b.txt")).toBe("b\n");
    expect(await at(n, "b.txt")).toBe("b of the user\n");
    expect(await at(before, "user.txt")).toBe("");
    expect(await at(n, "many/3/user")).toBe("user\n");
    expect(await at(before, "many/5/5")).toBe("5 5");
    expect(await at(n, "many/5/5")).toBe("");
    const changed = (await user.does(["diff", "fix", "--json"])).out;
    expect(changed).not.toContain("user.txt");
    await user.does(["merge", "fix"]);
    expect(user.files()).toMatchObject({
      "a.txt": LINES.replace("2", "TWO").replace("4", "FOUR"),
      "b.txt": "b of the user\n",
      "new.txt": "n\n",
      "many/seven/7": "7 7",
    });
    expect(user.files()).not.toHaveProperty("c.txt");
    expect(user.files()).not.toHaveProperty("many/7/7");
    expect((await user.does(["fsck"])).out).toContain("The store is sound");
  });

  test("can be reverted, forked and gone on with", async () => {
    const { user, run, begun, go } = await standing((gate) => [
      { call: [bash("echo 1 > one.txt; rm -r many/1")] },
      { call: [bash(`[ -e ${gate}/again ] || echo 2 > two.txt`), wait(gate, "one")] },
      { say: "the end" },
    ]);
    await begun("one");
    const own = user.files();
    expect(await standsLive(user)).toBe(true);
    await user.does(["fork", "fix@2", "--scope", "other"]);
    expect((await user.does(["exec", "other", "--", "sh", "-c", "cat one.txt a.txt; ls many | wc -l"])).out).toBe(
      `1\n${LINES}50\n`,
    );
    go("again");
    await user.does(["revert", "fix", "2"]);
    await begun("one");
    go("one");
    expect((await run.ended).code).toBe(0);
    expect(user.files()).toEqual(own);
    expect((await user.does(["exec", "fix", "--", "ls"])).out.split("\n").filter(Boolean)).toEqual([
      "a.txt",
      "b.txt",
      "c.txt",
      "many",
      "one.txt",
    ]);
    expect((await user.does(["fsck"])).out).toContain("The store is sound");
  });

  test("goes on after it was killed, with nothing lost and the user's files as they were", async () => {
    const { user, run, begun, go } = await standing((gate) => [
      { call: [bash("echo 1 > one.txt")] },
      { call: [bash("echo x >> a.txt; rm b.txt"), wait(gate, "one")] },
      { say: "the end" },
    ]);
    await begun("one");
    const own = user.files();
    run.process.kill("SIGKILL");
    await run.ended;
    go("one");
    const done = await user.does(["resume", "fix"]);
    expect(done.err).toBe("");
    expect(user.files()).toEqual(own);
    expect((await user.does(["cat", "fix@", "a.txt"])).out).toBe(`${LINES}x\n`);
    expect((await user.does(["cat", "fix@", "one.txt"])).out).toBe("1\n");
    expect((await user.does(["fsck"])).out).toContain("The store is sound");
  });
});
