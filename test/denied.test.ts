/** Without namespaces, as most containers are: the tests of files and scopes once more, where the kernel really denies them. */
import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { findProgram } from "../src/scope/exec/tools.ts";
import { built } from "./support/built.ts";

const ROOT = resolve(import.meta.dirname, "..");
const QUICK = [
  ...["portable", "materialise"].map((name) => `src/world/${name}.test.ts`),
  ...["scope", "fork", "pool"].map((name) => `src/scope/${name}.test.ts`),
  ...["commands", "without", "stop"].map((name) => `src/scope/exec/${name}.test.ts`),
];
const LONG = [
  "src/scope/exec/shell.test.ts",
  ...["capture", "roundtrip"].map((name) => `src/world/${name}.test.ts`),
  ...["back", "background", "services", "live"].map((name) => `test/cli/${name}.test.ts`),
  "test/conformance/driver.test.ts",
];

const room = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "shepherd-denied-")));
afterAll(() => fs.rmSync(room, { recursive: true, force: true }));

/** As an ordinary user, if that may read this directory; else as who runs the tests. */
function asOrdinary(): string[] {
  const prefix = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
  const can = [...prefix.slice(1), process.execPath, "-e", `require("fs").readdirSync(${JSON.stringify(ROOT)})`];
  return process.getuid?.() === 0 && spawnSync(prefix[0]!, can).status === 0 ? prefix : [];
}

test.skipIf(process.platform !== "linux" || !findProgram("cc"))(
  "files and scopes are as they should be where a filter of calls denies all namespaces, and doctor says that",
  async () => {
    const deny = join(room, "deny");
    execFileSync("cc", ["-O1", "-o", deny, join(import.meta.dirname, "support/deny.c")]);
    const command = await built();
    const as = asOrdinary();
    if (as.length > 0) fs.chownSync(room, 1000, 1000);
    const { HOME: _, SHEPHERD_NO_NAMESPACES: __, ...mine } = process.env;
    const path = [dirname(process.execPath), "/usr/local/bin", "/usr/bin", "/bin"].join(":");
    const env = { ...mine, PATH: path, HOME: room, TMPDIR: room, SHEPHERD_DIR: join(room, "store") };
    const run = (...words: string[]): { status: number | null; said: string } => {
      const [program, ...more] = [...as, deny, ...words];
      const { status, stdout, stderr } = spawnSync(program!, more, { cwd: ROOT, env, encoding: "utf8" });
      return { status, said: stdout + stderr };
    };
    expect(run("unshare", "--user", "true").status).not.toBe(0);
    expect(run(process.execPath, command, "doctor").said).toMatch(/limited sandbox .*filter of calls \(seccomp\)/);
    const files = process.env.SHEPHERD_LONG ? [...QUICK, ...LONG] : QUICK;
    const vitest = join(ROOT, "node_modules/vitest/vitest.mjs");
    const options = ["--configLoader", "runner", "--maxWorkers", "1"];
    const { status, said } = run(process.execPath, vitest, "run", ...options, ...files);
    expect(status, said).toBe(0);
    expect(said).toContain("Tests of namespaces are skipped");
    for (const file of files) expect(said).toContain(file);
  },
  1_800_000,
);
