/** revert, undo and fork, as a user types them, over all that a tree of files can hold and all that can become of it. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { CHANGES, makeEverything } from "../support/everything.ts";
import { long, seed } from "../support/runs.ts";
import { look, restorable } from "../support/trees.ts";
import { newUser, type User, until } from "../support/user.ts";
import { workspacesIn } from "../support/work.ts";

let user: User;
afterEach(() => user.end());

const seen = (path: string) => restorable(look(path));

/** Looks at the files of a run while a command of it works. */
async function during<T>(run: string, look: (at: string) => T): Promise<T> {
  const command = "touch /tmp/ready; until [ -e /tmp/go ]; do sleep 0.02; done; rm /tmp/ready /tmp/go";
  const working = user.start(["exec", run, "--", "sh", "-c", command]);
  const tmp = (at: string, name: string): string => join(at, "../tmp", name);
  const find = (): string | undefined => workspacesIn(user.store).find((path) => fs.existsSync(tmp(path, "ready")));
  await until(() => find() !== undefined);
  const at = find()!;
  const found = look(at);
  fs.writeFileSync(tmp(at, "go"), "");
  expect((await working.ended).code).toBe(0);
  return found;
}

test("whatever became of the files, they are back, forth and in a fork as they were, with what is beside the commits", async () => {
  user = await newUser({});
  makeEverything(user.project);
  const mine = seen(user.project);
  const outside = join(user.directory, "outside");
  fs.mkdirSync(outside);
  fs.writeFileSync(join(outside, "f"), "untouched");
  await user.does(["run", "--scope", "fix", "--", "true"]);
  expect(await during("fix", seen)).toEqual(mine);
  for (const [k, [name, change]] of Object.entries(CHANGES).entries()) {
    if (!long && k % 4 !== seed % 4) continue;
    const other = `other-${k}`;
    const changed = await during("fix", (at) => {
      change(at, outside);
      return seen(at);
    });
    expect(await during("fix", seen), name).toEqual(changed);
    await user.does(["revert", "fix", "0"]);
    expect(await during("fix", seen), `${name}, revert`).toEqual(mine);
    await user.does(["undo"]);
    expect(await during("fix", seen), `${name}, undo`).toEqual(changed);
    await user.does(["fork", "fix@", "--scope", other]);
    expect(await during(other, seen), `${name}, fork`).toEqual(changed);
    await user.does(["discard", other]);
    await user.does(["gc", "--work"]);
    await user.does(["revert", "fix", "0"]);
    expect(await during("fix", seen), `${name}, anew`).toEqual(mine);
  }
  expect(seen(user.project)).toEqual(mine);
  expect(fs.readFileSync(join(outside, "f"), "utf8")).toBe("untouched");
  expect((await user.does(["fsck"])).out).toContain("The store is sound");
}, 300_000);
