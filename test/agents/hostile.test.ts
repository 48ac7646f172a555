/** The real Claude Code, led by a model that wants out of its scope. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { claudeRig, type Rig } from "./claude-rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await claudeRig();
});
afterEach(() => rig.end());

const DIR = '"$CLAUDE_CONFIG_DIR"';
test.each([
  ["file", `ln -sfn OUTSIDE/secret ${DIR}/projects/*/*.jsonl`],
  ["directory", `ln -s OUTSIDE ${DIR}/x && rm -rf ${DIR}/projects && mv ${DIR}/x ${DIR}/projects`],
  ["pipe", `f=$(echo ${DIR}/projects/*/*.jsonl) && rm "$f" && mkfifo "$f"`],
])(
  "in place of its record it puts a link to outside, or a pipe (%s): nothing is written there, or read, and the run goes on",
  async (kind, command) => {
    const outside = join(rig.home, "outside");
    fs.mkdirSync(outside);
    fs.writeFileSync(join(outside, "secret"), "planted-in-a-file-outside\n");
    const before = fs.readdirSync(outside);
    rig.script = [
      { say: "One.", call: [["Bash", { command: command.replace("OUTSIDE", outside), description: "a link" }]] },
      { say: "Two." },
    ];
    const first = rig.start("run", "claude", "go", "--scope", "it");
    const ended = new Promise((resolve) => first.once("exit", resolve));
    // A pipe holds the agent itself up.
    if (kind === "pipe") {
      while (rig.provider.asked.length < 2) await new Promise((resolve) => setTimeout(resolve, 100));
      await new Promise((resolve) => setTimeout(resolve, 500));
      first.kill("SIGINT");
    }
    await ended;
    rig.script = [{ say: "Three." }];
    expect((await rig.shepherd("resume", "it", "and on")).code).toBe(0);
    const rows = await rig.log("it");
    expect(rows.find(({ kind }) => kind === "tool")).toMatchObject({ status: "done" });
    expect(rows.at(-1)).toMatchObject({ kind: "model", summary: "Three." });
    expect(fs.readdirSync(outside)).toEqual(before);
    expect(fs.readFileSync(join(outside, "secret"), "utf8")).toBe("planted-in-a-file-outside\n");
    expect(await rig.placesWith("planted-in-a-file-outside")).toEqual([]);
    expect((await rig.shepherd("fsck")).code).toBe(0);
  },
);
