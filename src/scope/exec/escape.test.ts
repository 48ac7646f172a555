/** Ways out of a sandbox, each tried by a program with a witness on the host: see docs/security.md. */
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { abilities, base, by, makers, root, script, users } from "../../../test/support/sandboxed.ts";
import { findProgram } from "./tools.ts";

const compiler = findProgram("cc");
const all = [...(root ? [["root", [], 0] as (typeof users)[number]] : []), ...users];

/** The program that tries to get out. */
function attempts(): string {
  const program = path.join(base, "attempts");
  const source = path.resolve("test/support/escape/attempts.c");
  if (!fs.existsSync(program)) execFileSync(compiler!, ["-D_GNU_SOURCE", "-o", program, source]);
  return program;
}

describe.skipIf(!abilities.samePath || !compiler).each(all)("the first process of a sandbox of %s", (_, as) => {
  const SCRIPT = `
const sandbox = await open();
fs.copyFileSync(process.env.ATTEMPTS, at("store/ws/attempts"));
const { output } = await sandbox.exec({ argv: ["./attempts", "first"] });
await sandbox.dispose();
console.log(sandbox.abilities.samePath + "\\n" + output);
`;

  test.for(makers)("is out of reach of what runs there, made by %s", (maker, context) => {
    const { file, env } = script("first", SCRIPT);
    Object.assign(env, by(maker), { ATTEMPTS: attempts() });
    const [program, ...words] = [...as, process.execPath, file];
    const done = spawnSync(program!, words, { env, encoding: "utf8" });
    expect(done.stderr).toBe("");
    const [samePath, ...answers] = done.stdout.trim().split("\n");
    if (samePath !== "true") {
      console.log("The test of the first process is skipped: this user has no namespaces here.");
      return context.skip();
    }
    expect(answers).toEqual(["first-trace 1", "first-memory 13", "first-program 13", "first-root 13"]);
  });
});

describe.skipIf(!abilities.helper || !compiler).each(all)("what a command of %s tries", (_, as) => {
  const SCRIPT = `
const sandbox = await open();
fs.copyFileSync(process.env.ATTEMPTS, at("store/ws/attempts"));
fs.chmodSync(at("store/ws/attempts"), 0o755);
fs.writeFileSync(at("proj/outside"), "the user's");
fs.writeFileSync(at("store/secret"), "the store's");
fs.symlinkSync(at("proj/outside"), at("store/ws/link"));
fs.symlinkSync("../../store/secret", at("store/ws/up"));
const places = [at("outside"), "link", "up", at("store/secret"), "/proc/1/root/etc/hostname", "/proc/self/root/etc/hostname", "/proc/1/cwd/etc/hostname", "/etc/hostname"];
fs.writeFileSync(at("outside"), "the user's");
const { output } = await sandbox.exec({ argv: ["./attempts", String(process.pid), ...places] });
await sandbox.dispose();
const witnesses = [at("outside"), at("proj/outside"), at("store/secret"), "/etc/hostname"].map((file) => fs.existsSync(file) && fs.readFileSync(file, "utf8").includes("escaped"));
console.log(JSON.stringify({ said: output.toString(), witnesses, host: fs.readFileSync("/proc/sys/kernel/core_pattern", "utf8") }));
`;

  test("none of it leads out", () => {
    const { file, env } = script("escape", SCRIPT);
    env.ATTEMPTS = attempts();
    const core = fs.readFileSync("/proc/sys/kernel/core_pattern", "utf8");
    const [program, ...words] = [...as, process.execPath, file];
    const done = spawnSync(program!, words, { env, encoding: "utf8" });
    expect(done.stderr).toBe("");
    const { said, witnesses, host } = JSON.parse(done.stdout) as { said: string; witnesses: boolean[]; host: string };
    const answers = said.trim().split("\n");
    expect(answers.length).toBeGreaterThan(50);
    expect(answers.filter((line) => line.endsWith(" 0"))).toEqual([]);
    expect(witnesses).toEqual([false, false, false, false]);
    expect(host).toBe(core);
  });
});
