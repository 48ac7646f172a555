import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { expect, it } from "vitest";
import { inTemporary } from "../../test/support/trees.ts";
import { mountsOf } from "../scope/driver.ts";
import type { Mounts } from "./layers.ts";
import { emptyTrash, throwAway } from "./trash.ts";

const mounts = await mountsOf();
const gone = { ...mounts!, remove: () => Promise.reject(new Error("It has ended.")) };
/** Who removes, beside us. */
const helpers: Array<[string, Mounts | null]> = [
  ["nobody", null],
  ...(mounts ? ([["the helper", mounts]] as Array<[string, Mounts]>) : []),
  ["a helper that has ended", gone],
];

it.each(helpers)("what is thrown away is out of the way at once, and gone behind that, by %s", async (_, helper) => {
  const helped = { mounts: async () => helper };
  await inTemporary(async (dir) => {
    fs.mkdirSync(`${dir}/outside`);
    fs.writeFileSync(`${dir}/outside/f`, "mine");
    for (const name of ["a", "b"]) {
      fs.mkdirSync(`${dir}/${name}/sub/${"deep/".repeat(60)}`, { recursive: true });
      fs.writeFileSync(`${dir}/${name}/sub/f`, "f");
      fs.symlinkSync(`${dir}/outside`, `${dir}/${name}/sub/link`);
      fs.linkSync(`${dir}/outside/f`, `${dir}/${name}/f`);
      fs.chmodSync(`${dir}/${name}/sub/deep`, 0);
    }
    throwAway(dir, `${dir}/a`, helped);
    throwAway(dir, `${dir}/none`, helped);
    expect(fs.existsSync(`${dir}/a`)).toBe(false);
    // The same name again, while the first may still be there.
    fs.renameSync(`${dir}/b`, `${dir}/a`);
    throwAway(dir, `${dir}/a`, helped);
    expect(await emptyTrash(dir, helped)).toBe(true);
    expect(fs.readdirSync(dir)).toEqual(["outside"]);
    expect(fs.readFileSync(`${dir}/outside/f`, "utf8")).toBe("mine");
    expect(await emptyTrash(dir, helped)).toBe(true);
  });
});

it.skipIf(!mounts)("the helper takes out all that it may, and stays out of what it has mounted", async () => {
  await inTemporary(async (dir) => {
    for (const name of ["a/at", "upper", "work", "lower/b", "c/d/e"])
      fs.mkdirSync(`${dir}/${name}`, { recursive: true });
    const [upper, work, lower] = ["upper", "work", "lower"].map((name) => `${dir}/${name}`) as [string, string, string];
    fs.mkdirSync(`${dir}/trash`);
    for (const name of ["a", "c"]) fs.renameSync(`${dir}/${name}`, `${dir}/trash/${name}`);
    const at = `${dir}/trash/a/at`;
    await mounts!.overlay({ at, upper, work, lower: [lower] });
    await mounts!.remove(`${dir}/trash`);
    expect(fs.readdirSync(`${dir}/trash`)).toEqual(["a"]);
    expect(fs.readdirSync(mounts!.root + at)).toEqual(["b"]);
    await mounts!.unmount(at);
    await mounts!.remove(`${dir}/trash`);
    expect(fs.readdirSync(`${dir}/trash`)).toEqual([]);
    await expect(mounts!.remove(`${dir}/none`)).rejects.toThrow("/none cannot be emptied: No such file or directory");
  });
});

const root = process.getuid?.() === 0;
it.skipIf(!root).each(helpers)("what somebody has mounted in it stays, and that is told, by %s", async (_, helper) => {
  const helped = { mounts: async () => helper };
  await inTemporary(async (dir) => {
    fs.mkdirSync(`${dir}/a/at`, { recursive: true });
    fs.mkdirSync(`${dir}/outside`);
    fs.writeFileSync(`${dir}/outside/f`, "mine");
    try {
      execFileSync("mount", ["--bind", `${dir}/outside`, `${dir}/a/at`]);
    } catch {
      return console.log("skipped: nothing can be mounted here");
    }
    throwAway(dir, `${dir}/a`, helped);
    try {
      expect(await emptyTrash(dir, helped)).toBe(false);
      expect(fs.readFileSync(`${dir}/outside/f`, "utf8")).toBe("mine");
    } finally {
      execFileSync("umount", [`${dir}/.gone/${fs.readdirSync(`${dir}/.gone`)[0]}/at`]);
    }
    expect(await emptyTrash(dir, helped)).toBe(true);
    expect(fs.readdirSync(dir)).toEqual(["outside"]);
  });
});
