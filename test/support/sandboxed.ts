/** Sandboxes opened by a process of their own: scripts that any user can run, and who may run them. */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll } from "vitest";
import { detect } from "../../src/scope/exec/abilities.ts";
import { findHelper } from "../../src/scope/exec/helper.ts";

export const abilities = await detect();
if (!abilities.samePath) console.log(`Tests of namespaces are skipped: ${abilities.why}`);

/** Whoever makes the namespaces, they are the same. */
export const makers = abilities.helper ? ["the helper", "programs of the host"] : ["programs of the host"];
export const by = (maker: string): Record<string, string> =>
  maker === "the helper" ? {} : { SHEPHERD_NO_HELPER: "1" };

/** Users by what starts a program as them: a name, the words, their number. */
export const root = process.getuid?.() === 0;
export const users: Array<[string, string[], number]> = root
  ? [
      ["an ordinary user", ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"], 1000],
      ["a root that may not mount", ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all"], 0],
    ]
  : [["an ordinary user", [], process.getuid?.() ?? 0]];

/** This folder as a program that any user can run, and room for what it works on. */
export let base: string;

beforeAll(() => {
  base = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "shepherd-life-")));
  const options =
    "--ignoreConfig --rootDir src --target es2023 --module nodenext --types node --skipLibCheck --noCheck";
  const more =
    "--rewriteRelativeImportExtensions --allowImportingTsExtensions src/scope/exec/shell.ts src/scope/exec/sandbox.ts";
  execFileSync(path.resolve("node_modules/.bin/tsc"), ["--outDir", base, ...options.split(" "), ...more.split(" ")]);
  fs.writeFileSync(path.join(base, "package.json"), '{"type":"module"}');
  const helper = findHelper();
  if (helper) fs.copyFileSync(helper, path.join(base, "scope/exec", path.basename(helper)));
  execFileSync("chmod", ["-R", "a+rX", base]);
  fs.writeFileSync(path.join(base, "common.mjs"), COMMON);
});
afterAll(() => fs.rmSync(base, { recursive: true, force: true }));

const COMMON = `
import fs from "node:fs";
import path from "node:path";
import { openSandbox } from "./scope/exec/sandbox.js";
export { runShell } from "./scope/exec/shell.js";
export { decodeShell, encodeShell } from "./scope/exec/shellstate.js";
export const base = process.env.ROOM;
export const at = (name) => path.join(base, name);
for (const name of ["proj", "store/ws", "tmp"]) fs.mkdirSync(at(name), { recursive: true });
fs.writeFileSync(at("store/ws/file"), "copy");
export const open = (more = {}) => openSandbox({
  binds: [{ from: at("store/ws"), to: at("proj"), mode: "rw" }], hide: [at("store"), "/var/lib"], tmp: at("tmp"),
  env: { PATH: process.env.PATH, HOME: process.env.HOME ?? "/" }, network: "host", ...more,
});
`;

/** A script with what sandboxes need, and room of its own. @param where the room lies: beside the script without it */
export function script(
  name: string,
  text: string,
  where = base,
): { file: string; room: string; env: Record<string, string> } {
  const room = fs.mkdtempSync(path.join(where, `${name}-`));
  fs.chmodSync(room, 0o777);
  const file = path.join(base, `${name}.mjs`);
  fs.writeFileSync(
    file,
    `import { at, base, decodeShell, encodeShell, open, runShell } from "./common.mjs";\nimport fs from "node:fs";\n${text}`,
  );
  return { file, room, env: { PATH: process.env.PATH!, ROOM: room, TMPDIR: room, HOME: "/nonexistent" } };
}
