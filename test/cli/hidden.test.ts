/** What a run does not see of the machine, and what it cannot make its own. */
import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { detect } from "../../src/scope/exec/abilities.ts";
import { SERVICES } from "../../src/scope/exec/spec.ts";
import { newUser } from "../support/user.ts";

const { samePath, helper } = await detect();

test.skipIf(!samePath).each(helper ? ["", "1"] : ["1"])(
  "services that start programs outside are hidden, as is the store (SHEPHERD_NO_HELPER=%s)",
  async (none) => {
    const user = await newUser();
    try {
      user.env.SHEPHERD_NO_HELPER = none;
      await user.does([
        "run",
        "--scope",
        "r",
        "--",
        "sh",
        "-c",
        "cut -d' ' -f5 /proc/self/mountinfo > mounts; find /run/user > found",
      ]);
      const mounts = (await user.does(["cat", "r@", "mounts"])).out.split("\n");
      const there = SERVICES.filter(existsSync).map((path) => realpathSync(path));
      expect(there.filter((path) => !mounts.includes(path))).toEqual([]);
      // Nothing stands there but the directory itself.
      if (there.includes("/run/user")) expect((await user.does(["cat", "r@", "found"])).out).toBe("/run/user\n");
      await user.does(["run", "--scope", "s", "--", "ls", user.store], 1);
    } finally {
      user.end();
    }
  },
);

test.skipIf(!samePath)("what --write gives is what stood there then, whatever a link leads to later", async () => {
  const user = await newUser();
  const [shared, out, mine] = ["shared", "shared/x/out", "mine"].map((name) => join(user.directory, name));
  try {
    for (const path of [out!, mine!]) mkdirSync(path, { recursive: true });
    writeFileSync(join(mine!, "file"), "mine");
    symlinkSync(out!, join(user.directory, "link"));
    const swap = `mv '${shared}/x' '${shared}/y'; mkdir '${shared}/x'; ln -s '${mine}' '${out}'`;
    const grants = ["--write", shared!, "--write", join(user.directory, "link")];
    await user.does(["run", "--scope", "r", ...grants, "--", "sh", "-c", swap]);
    expect(realpathSync(out!)).toBe(mine);
    const again = await user.does(["exec", "r", "--", "sh", "-c", `echo escaped > '${out}/file'`], 1);
    expect(again.err).toContain("there is a symbolic link in it now: put back what was there.\n");
    expect(readFileSync(join(mine!, "file"), "utf8")).toBe("mine");
    renameSync(join(shared!, "x"), join(shared!, "z"));
    renameSync(join(shared!, "y"), join(shared!, "x"));
    await user.does(["exec", "r", "--", "sh", "-c", `echo on > '${out}/file'`]);
    expect(readFileSync(join(out!, "file"), "utf8")).toBe("on\n");
  } finally {
    user.end();
  }
});
