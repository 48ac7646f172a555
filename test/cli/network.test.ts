/** `shepherd run claude`, before there is a run: what the options of the network take, and what must be there. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { newUser, type User } from "../support/user.ts";

let user: User;
afterEach(() => user?.end());

/** A user with a Claude Code that only tells its version. */
async function begin(): Promise<NodeJS.ProcessEnv & { PATH: string }> {
  user = await newUser();
  const bin = join(user.directory, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "claude"), '#!/bin/sh\necho "2.1.329 (Claude Code)"\n');
  chmodSync(join(bin, "claude"), 0o755);
  return { PATH: `${bin}:${process.env.PATH}`, ANTHROPIC_API_KEY: "sk-planted-key" };
}

test.each([
  [["--network", "all", "claude", "x"], 2, "--network takes gateway, proxy or host"],
  [["--allow-host", "http://example.com", "claude", "x"], 2, "--allow-host takes NAME, NAME:PORT or *.NAME"],
  [["--allow-host", "*", "claude", "x"], 2, "--allow-host takes NAME"],
  [["--network", "host", "--allow-host", "a.example", "claude", "x"], 2, "leave out --network host"],
  [["--network", "gateway", "--", "true"], 2, "--network is for coding agents"],
  [["--allow-host", "a.example", "--model", "script:x", "task"], 2, "--allow-host is for coding agents"],
])("%j ends with %d", async (words, code, sentence) => {
  const env = await begin();
  user.script([], "x");
  const typed = { env, cwd: user.directory };
  writeFileSync(join(user.directory, "x"), "");
  expect((await user.does(["run", ...words], code, typed)).err).toContain(sentence);
  expect((await user.does(["status", "--all", "--json"])).objects()).toEqual([]);
});

test("where the network cannot be held, nobody is told that it is", async () => {
  const env = { ...(await begin()), SHEPHERD_NO_NAMESPACES: "1" };
  for (const words of [
    ["--network", "gateway"],
    ["--allow-host", "a.example"],
  ])
    expect((await user.does(["run", ...words, "claude", "x"], 4, { env })).err).toContain(
      "cannot be held on this machine",
    );
});

test("without a login there is no run; a sentence says what to do", async () => {
  const { PATH } = await begin();
  const told = await user.does(["run", "claude", "x", "-k", "2"], 4, { env: { PATH } });
  expect(told.err).toMatch(/^shepherd: Claude Code has no login: [^\n]*\n$/);
  expect((await user.does(["status", "--all", "--json"])).objects()).toEqual([]);
});
