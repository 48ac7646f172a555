import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { expect, it } from "vitest";
import { inTemporary } from "../../test/support/trees.ts";
import { emptyTrash, throwAway } from "./trash.ts";

it("what is thrown away is out of the way at once, and gone behind that", async () => {
  await inTemporary(async (dir) => {
    for (const name of ["a", "b"]) {
      fs.mkdirSync(`${dir}/${name}/sub`, { recursive: true });
      fs.writeFileSync(`${dir}/${name}/sub/f`, "f");
    }
    throwAway(dir, `${dir}/a`);
    throwAway(dir, `${dir}/none`);
    expect(fs.existsSync(`${dir}/a`)).toBe(false);
    // The same name again, while the first may still be there.
    fs.renameSync(`${dir}/b`, `${dir}/a`);
    throwAway(dir, `${dir}/a`);
    expect(await emptyTrash(dir)).toBe(true);
    expect(fs.readdirSync(dir)).toEqual([]);
    expect(await emptyTrash(dir)).toBe(true);
  });
});

it.skipIf(process.getuid?.() !== 0)("what somebody has mounted in it stays, and that is told", async () => {
  await inTemporary(async (dir) => {
    fs.mkdirSync(`${dir}/a/at`, { recursive: true });
    fs.mkdirSync(`${dir}/outside`);
    fs.writeFileSync(`${dir}/outside/f`, "mine");
    try {
      execFileSync("mount", ["--bind", `${dir}/outside`, `${dir}/a/at`]);
    } catch {
      return console.log("skipped: nothing can be mounted here");
    }
    throwAway(dir, `${dir}/a`);
    try {
      expect(await emptyTrash(dir)).toBe(false);
      expect(fs.readFileSync(`${dir}/outside/f`, "utf8")).toBe("mine");
    } finally {
      execFileSync("umount", [`${dir}/.gone/${fs.readdirSync(`${dir}/.gone`)[0]}/at`]);
    }
    expect(await emptyTrash(dir)).toBe(true);
    expect(fs.readdirSync(dir)).toEqual(["outside"]);
  });
});
