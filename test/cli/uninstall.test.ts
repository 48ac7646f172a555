import * as fs from "node:fs";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { newUser, type User } from "../support/user.ts";

let user: User;
beforeEach(async () => {
  user = await newUser({ "a.txt": "a\n" });
});
afterEach(() => user.end());

test("uninstall removes the store, says what goes with it, and leaves the user's files alone", async () => {
  await user.does(["run", "--scope", "waits", "--", "sh", "-c", "echo b > b.txt"]);
  await user.does(["run", "--scope", "landed", "--", "sh", "-c", "echo c > c.txt"]);
  await user.does(["merge", "landed"]);
  await user.does(["run", "--scope", "looked", "--", "true"]);
  const dry = JSON.parse((await user.shepherd(["uninstall", "--dry-run", "--json"])).out);
  expect(dry).toMatchObject({ runs: 3, unlanded: ["waits"], removed: false });
  expect(fs.existsSync(join(dry.store, "format"))).toBe(true);
  expect((await user.shepherd(["uninstall", "--dry-run"])).out).toBe(
    `Would remove ${user.store}, with 3 runs.\n1 of them has changes that landed nowhere: waits.\n`,
  );
  fs.mkdirSync(join(user.home, ".claude"));
  fs.mkdirSync(join(user.home, ".codex"));
  fs.writeFileSync(join(user.home, ".codex/config.toml"), "");
  const asked = await user.shepherd(["uninstall"]);
  expect([asked.code, asked.err]).toEqual([3, expect.stringContaining("--yes")]);
  expect(asked.out).toContain("waits");
  expect((await user.shepherd(["uninstall", "--yes"])).code).toBe(0);
  expect(fs.existsSync(dry.store)).toBe(false);
  // What is empty there a run of an agent has made; what is not is the user's.
  expect(fs.readdirSync(user.home)).toEqual([".codex"]);
  expect(fs.readdirSync(user.project).sort()).toEqual(["a.txt", "c.txt"]);
  expect((await user.shepherd(["uninstall"])).out).toContain("nothing to remove");
});

test("what runs have made for an agent goes too where variables name its place, and where the user has added the agent", async () => {
  await user.does(["run", "--", "true"]);
  await user.does(["plugin", "add", resolve("test/plugins/sample.mjs")]);
  const env = { CLAUDE_CONFIG_DIR: join(user.home, "claude"), CODEX_HOME: join(user.home, "codex") };
  for (const name of ["claude", "codex", ".claude", ".sample", "mine"]) fs.mkdirSync(join(user.home, name));
  await user.does(["uninstall", "--yes"], 0, { env });
  expect(fs.readdirSync(user.home)).toEqual(["mine"]);
});
