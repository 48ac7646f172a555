/** A sandbox that has an image for its root: what is seen there, and that nothing leads out of it. */
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeRoot } from "../../../test/support/image.ts";
import { abilities, base, root, script, users } from "../../../test/support/sandboxed.ts";
import { findProgram } from "./tools.ts";

const all = [...(root ? [["root", [], 0] as (typeof users)[number]] : []), ...users];
let image: string;

beforeAll(() => {
  image = makeRoot(path.join(base, "image"));
  const compiler = findProgram("cc");
  const source = path.resolve("test/support/escape/attempts.c");
  if (compiler) execFileSync(compiler, ["-D_GNU_SOURCE", "-o", path.join(image, "usr/bin/attempts"), source]);
});
afterAll(() => fs.rmSync(image, { recursive: true, force: true }));

const OPEN = `
import { execFileSync } from "node:child_process";
import { openSandbox } from "./scope/exec/sandbox.js";
execFileSync("cp", ["-a", "--no-preserve=ownership", process.env.IMAGE, at("root")]);
fs.mkdirSync(at("own"), { recursive: true });
const open2 = (more = {}) => openSandbox({
  binds: [{ from: at("store/ws"), to: "/work/proj", mode: "rw" }], hide: [at("store"), at("own/keys")], tmp: at("tmp"), root: at("root"),
  env: { PATH: "/usr/bin:/bin", HOME: "/root" }, network: "host", ...more,
});
const sh = async (sandbox, text) => (await sandbox.exec({ argv: ["sh", "-c", text] })).output.toString();
const told = {};
`;
const TELL = `
console.log(JSON.stringify(told));
`;

function runAs(as: string[], name: string, text: string): { [name: string]: unknown } {
  const { file, env } = script(name, `${OPEN}${text}${TELL}`);
  env.IMAGE = image;
  env.HOST_PID = String(process.pid);
  const [program, ...words] = [...as, process.execPath, file];
  const done = spawnSync(program!, words, { env, encoding: "utf8" });
  expect(done.stderr).toBe("");
  return JSON.parse(done.stdout.trim().split("\n").at(-1)!) as { [name: string]: unknown };
}

describe.skipIf(!abilities.helper).each(all)("in an image as the root of %s", (_, as, uid) => {
  test("there is the image, the workspace at its path, and of the host nothing but what every run has", () => {
    const told = runAs(
      as,
      "seen",
      `
fs.writeFileSync(at("own/keys"), "a key");
fs.writeFileSync(at("own/file"), "granted");
const sandbox = await open2({ writable: [at("own")], readOnly: ["/work/proj/file"] });
told.same = sandbox.abilities.samePath;
told.pwd = await sh(sandbox, "pwd; cat file /etc/hello");
told.top = (await sh(sandbox, "ls /")).split("\\n").filter((name) => !["bin", "dev", "etc", "home", "lib", "lib64", "proc", "root", "srv", "sys", "tmp", "usr", "var", "work"].includes(name));
told.host = await sh(sandbox, "ls -d " + at("store") + " " + at("root") + " /boot /opt 2>/dev/null");
told.granted = await sh(sandbox, "cat " + at("own/file") + "; echo more >> " + at("own/file") + "; cat " + at("own/keys"));
told.readOnly = await sh(sandbox, "(echo x > file) 2>&1; (echo x > /sys/x) 2>&1; (echo x > /etc/hosts) 2>&1");
told.wrote = await sh(sandbox, "echo w > /etc/new; echo w > /work/proj/new; echo w > /tmp/new; cat /var/tmp/new");
told.id = await sh(sandbox, "id -u");
told.shell = (await runShell(sandbox, "cd /srv; x=5; export x", null)).state;
told.again = (await runShell(sandbox, "pwd; echo $x; sleep 100 & sleep 200 &", told.shell)).result.output.toString();
told.left = (await sandbox.processes()).map(({ command }) => command).sort();
await sandbox.killAll();
told.killed = await sandbox.processes();
await sandbox.dispose();
told.in = [at("root/etc/new"), at("store/ws/new"), at("tmp/new"), at("own/file")].map((file) => fs.readFileSync(file, "utf8"));
told.hosts = fs.readFileSync("/etc/hosts", "utf8").includes("x\\n");
`,
    );
    expect(told).toMatchObject({ same: true, top: [""], host: "", hosts: false, id: `${uid}\n` });
    expect(told.pwd).toBe("/work/proj\ncopyfrom the image\n");
    expect(told.granted).toBe("granted");
    expect(String(told.readOnly).match(/Read-only file system/g)).toHaveLength(3);
    expect(told.in).toEqual(["w\n", "w\n", "w\n", "grantedmore\n"]);
    expect(told.again).toBe("/srv\n5\n");
    expect(told.left).toEqual(["sleep 100", "sleep 200"]);
    expect(told.killed).toEqual([]);
  });

  test("no link in it leads what is mounted out of it, and a place that is one is refused with a sentence or taken away", () => {
    const told = runAs(
      as,
      "links",
      `
fs.mkdirSync(at("victim"));
fs.writeFileSync(at("victim/file"), "the user's");
const attempt = async (make, undo, more) => {
  make();
  try {
    const sandbox = await open2(more);
    const said = await sh(sandbox, "cat /etc/resolv.conf >/dev/null; ls -ld /etc/resolv.conf /var/tmp | cut -c1 2>/dev/null; cat /work/proj/file");
    await sandbox.dispose();
    return said;
  } catch (error) {
    return String(error.message);
  } finally {
    undo();
  }
};
const linked = (name, to) => [() => { fs.rmSync(at("root/" + name), { recursive: true, force: true }); fs.symlinkSync(to, at("root/" + name)); }, () => fs.unlinkSync(at("root/" + name))];
for (const name of ["proc", "dev", "sys", "tmp", "work"]) told[name] = await attempt(...linked(name, at("victim")));
fs.mkdirSync(at("root/var"), { recursive: true });
for (const name of ["etc/resolv.conf", "var/tmp"]) told[name] = await attempt(...[linked(name, at("victim/file"))[0], () => {}]);
told.victim = fs.readdirSync(at("victim")).map((name) => fs.readFileSync(at("victim/" + name), "utf8"));
told.etc = await attempt(() => { fs.renameSync(at("root/etc"), at("root/etc2")); fs.symlinkSync("/etc2", at("root/etc")); }, () => {});
`,
    );
    for (const name of ["proc", "dev", "sys", "tmp", "work"]) expect(told[name]).toMatch(/symbolic link/);
    for (const name of ["etc/resolv.conf", "var/tmp"]) expect(told[name]).toMatch(/copy$/);
    expect(told.victim).toEqual(["the user's"]);
    expect(told.etc).toMatch(/symbolic link/);
  });

  test.skipIf(!findProgram("cc"))("none of what a command tries leads out", () => {
    const told = runAs(
      as,
      "escape",
      `
const sandbox = await open2();
fs.writeFileSync(at("outside"), "the user's");
fs.writeFileSync(at("store/secret"), "the store's");
fs.symlinkSync(at("outside"), at("store/ws/link"));
fs.symlinkSync("../../store/secret", at("store/ws/up"));
const places = [at("outside"), "link", "up", at("store/secret"), "/proc/1/root/etc/hostname", "/proc/1/cwd/etc/hostname", "/../../etc/hostname"];
told.said = (await sandbox.exec({ argv: ["/usr/bin/attempts", process.env.HOST_PID, ...places] })).output.toString();
told.first = (await sandbox.exec({ argv: ["/usr/bin/attempts", "first"] })).output.toString();
told.roots = await sh(sandbox, "cd /; cd ../../../..; ls -d boot opt 2>/dev/null; ls /proc/1/root/ /proc/1/cwd/ 2>/dev/null");
await sandbox.dispose();
told.witnesses = [at("outside"), at("store/secret"), "/etc/hostname"].map((file) => fs.existsSync(file) && fs.readFileSync(file, "utf8").includes("escaped"));
`,
    );
    const answers = String(told.said).trim().split("\n");
    expect(answers.length).toBeGreaterThan(50);
    // Out of a root of its own it comes to that of the image, where it may write.
    expect(answers.filter((line) => line.endsWith(" 0") && line !== "out-of-root 0")).toEqual([]);
    expect(fs.existsSync("/etc/escaped")).toBe(false);
    const first = String(told.first).trim().split("\n");
    expect(first.length).toBeGreaterThan(3);
    expect(first.filter((line) => line.endsWith(" 0"))).toEqual([]);
    expect(told.roots).toBe("");
    expect(told.witnesses).toEqual([false, false, false]);
  });
});
