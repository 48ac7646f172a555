import { spawn } from "node:child_process";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { at, open, sh, until } from "../../../test/support/exec-rig.ts";
import { detect } from "./abilities.ts";
import { hasProc } from "./table.ts";
import { endLeftOver, startTracker } from "./track.ts";

describe("without namespaces", () => {
  beforeEach(() => {
    process.env.SHEPHERD_NO_NAMESPACES = "1";
  });
  afterEach(() => {
    delete process.env.SHEPHERD_NO_NAMESPACES;
  });

  test("it says so, and commands run in the private directory", async () => {
    expect(await detect()).toEqual({
      samePath: false,
      how: "none",
      helper: false,
      why: expect.stringContaining("unset SHEPHERD_NO_NAMESPACES"),
    });
    const sandbox = await open();
    expect(sandbox.abilities.samePath).toBe(false);
    expect((await sh(sandbox, "pwd; cat file; echo $TMPDIR")).text).toBe(`${at("store/ws")}\ncopy${at("tmp")}\n`);
    expect((await sh(sandbox, "pwd", { cwd: at("user/proj/sub") })).text).toBe(`${at("store/ws/sub")}\n`);
    expect(sandbox.translate(at("user/proj/sub"), "out")).toBe(at("store/ws/sub"));
    expect(sandbox.translate(at("store/ws/sub"), "in")).toBe(at("user/proj/sub"));
    expect(sandbox.translate("/etc", "in")).toBe("/etc");
  });

  test.skipIf(!hasProc)("what is left of a scope is ended by its name, and nothing of another", async () => {
    const [mine, other] = [startTracker(true, at("mine")), startTracker(true, at("other"))];
    for (const { env } of [mine, other])
      spawn("sh", ["-c", "setsid sleep 1000 & sleep 1001"], {
        detached: true,
        stdio: "ignore",
        env: { ...process.env, ...env },
      });
    await until(async () => (await mine.list()).length === 3 && (await other.list()).length === 3);
    await endLeftOver(at("mine"));
    expect([(await mine.list()).length, (await other.list()).length]).toEqual([0, 3]);
    await other.kill();
  });

  test("without /proc, process groups say what belongs to the scope", async () => {
    const tracker = startTracker(false);
    const child = spawn("sh", ["-c", "sleep 1000 & sleep 1001"], { detached: true, stdio: "ignore" });
    tracker.began(child.pid!);
    await until(async () => (await tracker.list()).length === 3);
    expect((await tracker.list()).map((p) => p.command).sort()).toEqual([
      "sh -c sleep 1000 & sleep 1001",
      "sleep 1000",
      "sleep 1001",
    ]);
    await tracker.kill();
    expect(await tracker.list()).toEqual([]);
  });
});
