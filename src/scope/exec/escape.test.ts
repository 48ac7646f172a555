/** Ways out of a sandbox, each tried by a program with a witness on the host: see docs/security.md. */
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { runs } from "../../../test/support/runs.ts";
import { abilities, base, by, makers, root, script, users } from "../../../test/support/sandboxed.ts";
import { findHelper } from "./helper.ts";
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
    expect(answers).toEqual([
      "first-trace 1",
      "first-memory 13",
      "first-program 13",
      "first-root 13",
      "first-environ 13",
      "first-descriptor 1",
      "first-write 1",
      "first-advice 13",
    ]);
  });
});

describe.skipIf(!abilities.helper || !compiler).each(all)("what a command of %s tries", (_, as, uid) => {
  const does = (name: string, text: string, prepare: (room: string) => void = () => {}): unknown => {
    const { file, room, env } = script(
      name,
      `fs.copyFileSync(process.env.ATTEMPTS, at("store/ws/attempts"));\n${text}`,
    );
    for (const each of ["outer", "store/ws"]) {
      fs.mkdirSync(path.join(room, each), { recursive: true });
      execFileSync("chmod", ["-R", "a+rwX", room]);
    }
    prepare(room);
    const [program, ...words] = [...as, process.execPath, file];
    const done = spawnSync(program!, words, {
      env: { ...env, ATTEMPTS: attempts(), HELPER: findHelper()! },
      encoding: "utf8",
    });
    expect(done.stderr).toBe("");
    return JSON.parse(done.stdout);
  };
  /** A directory of the user's is seen where it can be named: only its mount keeps it from being written. */
  const OUTER = `[{ from: at("store/ws"), to: at("proj"), mode: "rw" }, { from: at("outer"), to: "/var/lib/outer", mode: "ro" }]`;

  const SCRIPT = `
for (const name of ["outer/file", "outer/other"]) fs.writeFileSync(at(name), "the user's".padEnd(4096), { mode: 0o666 });
fs.writeFileSync(at("store/secret"), "the store's");
fs.symlinkSync("/var/lib/outer/other", at("store/ws/link"));
fs.symlinkSync("../../store/secret", at("store/ws/up"));
const places = ["/var/lib/outer/file", "/var/lib/outer/other", "link", "up", at("store/secret"), "/etc/hostname", "/etc/shadow", process.env.HELPER,
  ...["1/root", "self/root", "1/cwd", "self/root/proc/1/root"].map((way) => "/proc/" + way + "/var/lib/outer/other"),
  "/var/lib/outer/../outer/other", "../../../../../../var/lib/outer/other"];
const sandbox = await open({ binds: ${OUTER} });
const said = [];
for (const alone of [false, true]) {
  const { output } = await sandbox.exec({ argv: ["./attempts", String(process.pid), ...places], alone });
  said.push(output.toString());
  for (const name of fs.readdirSync(at("store/ws"))) if (!/attempts|link|up/.test(name)) fs.rmSync(at("store/ws/" + name), { recursive: true });
}
const { output } = await sandbox.exec({ argv: ["echo", "on"] });
await sandbox.dispose();
const witnesses = ["outer/file", "outer/other"].map((name) => fs.readFileSync(at(name), "utf8").trim());
console.log(JSON.stringify({ said, witnesses, store: fs.readFileSync(at("store/secret"), "utf8"), after: output.toString() }));
`;

  test("none of it leads out", () => {
    const watched = ["/proc/sys/kernel/core_pattern", "/etc/hostname", "/proc/sys/kernel/hostname", findHelper()!];
    const now = () => watched.map((file) => fs.readFileSync(file, "latin1"));
    const before = now();
    const { said, ...rest } = does("escape", SCRIPT) as { said: string[] };
    for (const each of said) {
      const answers = each.trim().split("\n");
      expect(answers.length).toBeGreaterThan(100);
      expect(answers.filter((line) => line.endsWith(" 0"))).toEqual([]);
    }
    expect(rest).toEqual({ witnesses: ["the user's", "the user's"], store: "the store's", after: "on\n" });
    expect(now()).toEqual(before);
  });

  test("a device that lies about is none, also in its own files", (context) => {
    if (!root) return context.skip();
    const words = `for at in /var/lib/outer . ; do (exec 3<>$at/null) 2>/dev/null && echo opened; done; (exec 3<>/dev/null) && echo of-dev`;
    const said = does(
      "devices",
      `const sandbox = await open({ binds: ${OUTER} });
const { output } = await sandbox.exec({ argv: ["bash", "-c", ${JSON.stringify(words)}] });
await sandbox.dispose();
console.log(JSON.stringify(output.toString()));`,
      (room) => {
        for (const at of ["outer", "store/ws"])
          execFileSync("mknod", ["-m", "666", path.join(room, at, "null"), "c", "1", "3"]);
      },
    );
    expect(said).toBe("of-dev\n");
  });

  test("a program that makes others root makes nobody root", (context) => {
    if (!root || uid === 0) return context.skip();
    const said = does(
      "setuid",
      `const sandbox = await open();
const { output } = await sandbox.exec({ argv: ["./setuid", "who"] });
await sandbox.dispose();
console.log(JSON.stringify(output.toString()));`,
      (room) => {
        const copy = path.join(room, "store/ws/setuid");
        fs.copyFileSync(attempts(), copy);
        fs.chmodSync(copy, 0o4755);
      },
    );
    expect(said).toBe(`${uid}\n`);
  });

  test("what listens on the machine is out of reach of a network of its own", () => {
    const { said, heard } = does(
      "network",
      `import net from "node:net";
let heard = 0;
const listen = (where) => new Promise((resolve) => { const server = net.createServer(() => heard++).listen(where, () => resolve(server)); });
const port = await listen({ port: 0, host: "127.0.0.1" });
const name = "shepherd-escape-" + process.pid;
const named = await listen("\\0" + name);
const said = [];
for (const network of ["host", { port: 7601 }]) {
  const sandbox = await open({ network });
  const { output } = await sandbox.exec({ argv: ["./attempts", "network", String(port.address().port), name] });
  said.push(output.toString());
  await sandbox.dispose();
}
await new Promise((resolve) => setTimeout(resolve, 50));
console.log(JSON.stringify({ said, heard }));
process.exit();`,
    ) as { said: string[]; heard: number };
    // With the network of the machine both answer: so it is the own one that keeps them away.
    expect(said).toEqual(["host-port 0\nhost-name 0\n", "host-port 111\nhost-name 111\n"]);
    expect(heard).toBe(2);
  });

  test("the program that starts its commands is never within its reach", () => {
    const said = does(
      "starts",
      `const sandbox = await open();
const watching = sandbox.exec({ argv: ["./attempts", "watch", "shepherd-scope"] });
for (let i = 0; i < ${runs(1000, 100)}; i++) await sandbox.exec({ argv: ["true"], alone: i % 2 === 0 });
fs.writeFileSync(at("store/ws/stop"), "");
const { output } = await watching;
await sandbox.dispose();
console.log(JSON.stringify(output.toString()));`,
    );
    expect(said).toBe("starting-program 13\n");
  });
});

test("each attempt stands in the table of docs/security.md, and nothing else does", () => {
  const source = fs.readFileSync("test/support/escape/attempts.c", "utf8");
  const tried = [...source.matchAll(/tell\("([^"]+)"/g)].map(([, name]) => name!);
  const lines = fs.readFileSync("docs/security.md", "utf8").split("\n");
  const cells = lines.filter((line) => line.startsWith("| ")).map((line) => line.split("|").at(-2)!);
  const named = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
  const isFile = (name: string): boolean => name.endsWith(".test.ts");
  expect(named.filter((name) => !isFile(name)).sort()).toEqual(tried.sort());
  expect(named.filter((name) => isFile(name) && !fs.existsSync(name))).toEqual([]);
});
