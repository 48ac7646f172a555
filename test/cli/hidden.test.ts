/** What a run does not see of the machine. */
import { existsSync, realpathSync } from "node:fs";
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
