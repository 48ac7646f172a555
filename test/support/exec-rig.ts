import fs from "node:fs";
import path from "node:path";
import { afterEach, beforeEach } from "vitest";
import { detect } from "../../src/scope/exec/abilities.ts";
import type { CallOptions } from "../../src/scope/exec/call.ts";
import { nameOf, parseMounts } from "../../src/scope/exec/mounts.ts";
import { type Command, openSandbox, type Sandbox } from "../../src/scope/exec/sandbox.ts";
import type { SandboxSpec } from "../../src/scope/exec/spec.ts";
import { outside } from "./outside.ts";

export const abilities = await detect();
if (!abilities.samePath) console.log(`Tests of namespaces are skipped: ${abilities.why}`);
export const linux = fs.existsSync("/proc/self/stat");

export let base: string;
let opened: Sandbox[] = [];

/**
 * A user's project, its copy in a store, a home and a /tmp, all in a directory of their own. It does not lie in /tmp, since a sandbox
 * sees another one there.
 */
export const setUp = (where: string) => {
  base = fs.realpathSync(fs.mkdtempSync(path.join(where, "shepherd-exec-")));
  for (const name of ["user/proj/sub", "user/home/.npm", "store/ws/sub", "store/other", "tmp"])
    fs.mkdirSync(path.join(base, name), { recursive: true });
  fs.writeFileSync(path.join(base, "user/proj/file"), "original");
  fs.writeFileSync(path.join(base, "store/ws/file"), "copy");
  fs.writeFileSync(path.join(base, "store/other/secret"), "secret");
};
beforeEach(() => setUp(outside));

afterEach(async () => {
  await Promise.all(opened.map((sandbox) => sandbox.dispose()));
  opened = [];
  fs.rmSync(base, { recursive: true, force: true });
});

export const at = (name: string) => path.join(base, name);
export const spec = (more: Partial<SandboxSpec> = {}): SandboxSpec => ({
  binds: [{ from: at("store/ws"), to: at("user/proj"), mode: "rw" }],
  hide: [at("store")],
  tmp: at("tmp"),
  env: { PATH: process.env.PATH!, HOME: at("user/home"), LANG: "C.UTF-8" },
  network: "host",
  ...more,
});
export async function open(more: Partial<SandboxSpec> = {}): Promise<Sandbox> {
  const sandbox = await openSandbox(spec(more));
  opened.push(sandbox);
  return sandbox;
}
export const sh = async (sandbox: Sandbox, script: string, more: Partial<Command & CallOptions> = {}) => {
  const result = await sandbox.exec({ argv: ["bash", "-c", script], ...more });
  return { ...result, text: result.output.toString() };
};
/** Mounts of the host where a sandbox has its own; others come and go beside this. */
export const mountsHere = () =>
  parseMounts(fs.readFileSync("/proc/self/mountinfo"))
    .filter(({ at: where }) => /^\/($|proc|dev|tmp$|var\/tmp$)/.test(where) || where.startsWith(base))
    .map(nameOf);
export const linkOf = (file: string) => {
  try {
    return fs.readlinkSync(file);
  } catch {
    return "";
  }
};
export const commandLine = (pid: number) => {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
};
export async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Whoever makes the namespaces, they are the same. */
export const makers = !abilities.samePath
  ? []
  : abilities.helper
    ? ["the helper", "programs of the host"]
    : ["programs of the host"];
export const byTools = (): void => {
  process.env.SHEPHERD_NO_HELPER = "1";
};
export const byAny = (): void => {
  delete process.env.SHEPHERD_NO_HELPER;
};

export const modes = [...makers.map((maker) => `namespaces by ${maker}`), "no namespaces"];
