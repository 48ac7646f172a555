/** revert, undo and fork, as a user types them, over all that a tree of files can hold and all that can become of it. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { CHANGES, makeEverything } from "../support/everything.ts";
import { long, seed } from "../support/runs.ts";
import { look, restorable } from "../support/trees.ts";
import { newUser, type User, until } from "../support/user.ts";

let user: User;
afterEach(() => user.end());

const seen = (path: string) => restorable(look(path));

/** Where runs work on their files, but for those that are known. */
const workspaces = (known: readonly string[] = []): string[] =>
  fs
    .readdirSync(join(user.store, "cache/work"))
    .map((log) => join(user.store, "cache/work", log, "workspace"))
    .filter((path) => !known.includes(path));

/** What the files are behind a change that comes about while a command of the run works. */
async function during(at: string, change: () => void): Promise<unknown> {
  const tmp = (name: string): string => join(at, "../tmp", name);
  const command = "touch /tmp/ready; until [ -e /tmp/go ]; do sleep 0.02; done; rm /tmp/ready /tmp/go";
  const working = user.start(["exec", "fix", "--", "sh", "-c", command]);
  await until(() => fs.existsSync(tmp("ready")));
  change();
  const changed = seen(at);
  fs.writeFileSync(tmp("go"), "");
  expect((await working.ended).code).toBe(0);
  return changed;
}

/** What the next command of a run finds. */
async function opened(at: string, run: string): Promise<unknown> {
  await user.does(["exec", run, "--", "true"]);
  return seen(at);
}

test("whatever became of the files, they are back, forth and in a fork as they were, with what is beside the commits", async () => {
  user = await newUser({});
  makeEverything(user.project);
  const mine = seen(user.project);
  const outside = join(user.directory, "outside");
  fs.mkdirSync(outside);
  fs.writeFileSync(join(outside, "f"), "untouched");
  await user.does(["run", "--scope", "fix", "--", "true"]);
  const [at] = workspaces() as [string];
  expect(seen(at)).toEqual(mine);
  for (const [k, [name, change]] of Object.entries(CHANGES).entries()) {
    if (!long && k % 3 !== seed % 3) continue;
    const other = `other-${k}`;
    const changed = await during(at, () => change(at, outside));
    expect(seen(at), name).toEqual(changed);
    await user.does(["revert", "fix", "0"]);
    expect(await opened(at, "fix"), `${name}, revert`).toEqual(mine);
    await user.does(["undo"]);
    expect(await opened(at, "fix"), `${name}, undo`).toEqual(changed);
    await user.does(["fork", "fix@", "--scope", other]);
    await user.does(["exec", other, "--", "true"]);
    expect(workspaces([at]).map(seen), `${name}, fork`).toEqual([changed]);
    await user.does(["discard", other]);
    await user.does(["gc", "--work"]);
    await user.does(["revert", "fix", "0"]);
    await opened(at, "fix");
  }
  expect(seen(user.project)).toEqual(mine);
  expect(fs.readFileSync(join(outside, "f"), "utf8")).toBe("untouched");
  expect((await user.does(["fsck"])).out).toContain("The store is sound");
}, 300_000);
