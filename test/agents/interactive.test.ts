/** Claude Code on a terminal, as its user knows it, recorded and landing as it goes. */
import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { built } from "../support/built.ts";
import { claudeRig, type Rig } from "./claude-rig.ts";

const hasTmux = spawnSync("tmux", ["-V"]).status === 0;
let rig: Rig;
let socket = "";
beforeEach(async () => {
  rig = await claudeRig();
  socket = join(rig.home, "tmux");
});
afterEach(async () => {
  spawnSync("tmux", ["-S", socket, "kill-server"]);
  await rig.end();
});
const tmux = (...args: string[]): string =>
  execFileSync("tmux", ["-S", socket, "-f", "/dev/null", ...args], {
    env: rig.env as NodeJS.ProcessEnv,
    encoding: "utf8",
  });
const screen = (): string => tmux("capture-pane", "-p", "-t", "it");
const until = async (what: () => boolean | Promise<boolean>, name: string): Promise<void> => {
  for (let i = 0; i < 600; i++) {
    if (await what()) return;
    await sleep(100);
  }
  expect.fail(`${name}:\n${screen()}`);
};

test("what is typed there is a step, what it changes lands, and a revert from another terminal goes back while it is open", async () => {
  if (!hasTmux) return console.log("skipped: tmux is not installed");
  fs.writeFileSync(join(rig.project, "a.txt"), "one\n");
  rig.script = [
    { say: "I change it.", call: [["Bash", { command: "echo two > a.txt", description: "change" }]] },
    { say: "changed to two" },
    { say: "I change it once more.", call: [["Bash", { command: "echo three > a.txt", description: "change" }]] },
    { say: "changed to three" },
  ];
  const cli = await built();
  const words = [process.execPath, cli, "run", "claude", "--scope", "it"];
  tmux(
    "new-session",
    "-d",
    "-s",
    "it",
    "-x",
    "80",
    "-y",
    "40",
    "-c",
    rig.project,
    `${words.join(" ")}; echo "ended $?"; sleep 1000`,
  );
  await until(() => /❯|>/.test(screen()) && screen().includes("Claude Code"), "it does not start");
  await sleep(500);
  tmux("send-keys", "-t", "it", "change a to two", "Enter");
  await until(() => screen().includes("changed to two"), "no answer");
  await until(() => fs.readFileSync(join(rig.project, "a.txt"), "utf8") === "two\n", "nothing landed");
  tmux("send-keys", "-t", "it", "and to three", "Enter");
  await until(() => screen().includes("changed to three"), "no second answer");
  await until(() => fs.readFileSync(join(rig.project, "a.txt"), "utf8") === "three\n", "nothing landed");
  const rows = await rig.log("it");
  expect(rows.filter(({ kind }) => kind === "tool").map(({ changes }) => changes.files)).toEqual([1, 1]);
  expect(
    rows
      .filter(({ kind }) => kind === "message")
      .map(({ summary }) => summary)
      .join("\n"),
  ).toContain("and to three");

  const back = rows.findLast(({ kind, summary }) => kind === "model" && summary.includes("changed to two"))!;
  expect((await rig.shepherd("revert", "it", String(back.n))).stderr).toBe("");
  await until(() => fs.readFileSync(join(rig.project, "a.txt"), "utf8") === "two\n", "nothing was set back");
  await until(
    () => screen().includes("changed to two") && !screen().includes("changed to three"),
    "its conversation was not set back",
  );
  await sleep(500);
  tmux("send-keys", "-t", "it", "/exit", "Enter");
  await until(() => screen().includes("ended 0"), "it does not end");
});
