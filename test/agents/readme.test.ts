/** README's first example, typed as it stands there. Only the model's words are scripted. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fences } from "../docs/blocks.ts";
import { misfit } from "../docs/match.ts";
import { built } from "../support/built.ts";
import { claudeRig, type Rig } from "./claude-rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await claudeRig();
});
afterEach(() => rig.end());

const bash = (command: string): [string, object] => ["Bash", { command, description: "do" }];

/** Commands of a block, each with what it prints. */
function typed(lines: readonly string[]): Array<{ command: string; output: string[] }> {
  const found: Array<{ command: string; output: string[] }> = [];
  for (const line of lines)
    if (line.startsWith("$ ")) found.push({ command: line.slice(2), output: [] });
    else found.at(-1)!.output.push(line);
  return found;
}

test("README's first example prints what it says", async () => {
  fs.cpSync("examples/demo/repo", rig.project, { recursive: true });
  for (const words of [
    ["init", "-q"],
    ["add", "-A"],
    ["commit", "-qm", "A cart that forgets quantities"],
  ])
    spawnSync("git", words, { cwd: rig.project, env: rig.env as NodeJS.ProcessEnv });
  const before = fs.readFileSync(join(rig.project, "src/cart.js"), "utf8");
  rig.script = [
    { say: "I run the tests.", call: [bash("node --test")] },
    { say: "The total forgets the quantity.", call: [bash("sed -i 's/+= item.price/& * item.quantity/' src/cart.js")] },
    { say: "Once more.", call: [bash("node --test")] },
    { say: "Green. One more tidy-up.", call: [bash("sed -i 's/item.price/item.cost/' src/cart.js; rm -r test")] },
    { say: "The quantity is counted now, and I tidied up." },
  ];
  const cli = await built();
  const bin = join(rig.home, "bin");
  fs.mkdirSync(bin);
  fs.writeFileSync(join(bin, "shepherd"), `#!/bin/sh\nexec "${process.execPath}" "${cli}" "$@"\n`, { mode: 0o755 });
  const env = { ...rig.env, PATH: `${bin}:${rig.env.PATH}` } as NodeJS.ProcessEnv;
  const block = fences(fs.readFileSync("README.md", "utf8")).find(({ lines }) => lines[0]?.includes("run claude"))!;
  const known = new Map<string, string>();
  for (const { command, output } of typed(block.lines)) {
    const { spawn } = await import("node:child_process");
    const said = await new Promise<string>((resolve) => {
      const child = spawn("bash", ["-c", command], { cwd: rig.project, env, stdio: ["ignore", "pipe", "pipe"] });
      let all = "";
      for (const stream of [child.stdout!, child.stderr!]) stream.on("data", (chunk: Buffer) => (all += chunk));
      child.on("close", () => resolve(all));
    });
    if (process.env.SHOW) console.log(`$ ${command}\n${said}`);
    else
      expect(
        misfit(output, said.replaceAll(rig.project, "/home/you/cart").trimEnd().split("\n"), known),
        `${command}\n${said}`,
      ).toBe(null);
  }
  if (!process.env.SHOW) expect(fs.readFileSync(join(rig.project, "src/cart.js"), "utf8")).toBe(before);
});
