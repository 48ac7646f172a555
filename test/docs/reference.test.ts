import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { detect } from "../../src/scope/exec/abilities.ts";
import { findHelper } from "../../src/scope/exec/helper.ts";
import { attach } from "../../src/scope/scope.ts";
import { putBytes } from "../../src/scope/thread.ts";
import { openStore } from "../../src/trace/store.ts";
import { makeLayout, makeRoot, tarOf } from "../support/image.ts";
import { bash, newUser, put, type Typed, type User, until } from "../support/user.ts";
import { ROOT } from "./reader.ts";
import { type Kind, kindsFor, misfits, sectionsOf } from "./reference.ts";

const markdown = readFileSync(join(ROOT, "docs/cli.md"), "utf8");
const sections = sectionsOf(markdown);

let user: User;
let verbs: string[] = [];
beforeAll(async () => {
  user = await newUser({ "a.txt": "one\n", "dir/b.txt": "two\n" });
  const help = (await user.does(["--help"])).out;
  verbs = [...help.matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map(([, verb]) => verb!);
});
afterAll(() => user?.end());

describe("docs/cli.md and --help", () => {
  test("tell of the same verbs", () => {
    expect(verbs.length).toBeGreaterThan(20);
    expect(
      [...sections.values()]
        .filter(({ usage }) => usage.startsWith("shepherd "))
        .map(({ verb }) => verb)
        .sort(),
    ).toEqual([...verbs].sort());
  });

  test("tell of the same usage and the same options of each verb", async () => {
    const told = new Map<string, string[]>();
    for (const verb of verbs) {
      const help = (await user.does([verb, "--help"])).out;
      const options = [...help.matchAll(/^ +(?:(-\w), )?(--[a-z-]+(?: [A-Z]+)?)(?= |$)/gm)];
      const listed = options.flatMap(([, short, long]) => (short ? [short, long!] : [long!]));
      expect(listed).toEqual(expect.arrayContaining(["-h", "--help", "--json"]));
      // Each verb takes these, so they stand at the head of the page alone.
      const own = listed.filter((option) => !["-h", "--help", "--json"].includes(option));
      told.set(verb, [/^ {2}(shepherd .*)$/m.exec(help)![1]!, ...own.sort()]);
    }
    const written = verbs.map((verb): [string, string[]] => [
      verb,
      [sections.get(verb)!.usage, ...[...sections.get(verb)!.options].sort()],
    ]);
    expect(written).toEqual([...told]);
    for (const option of ["--help", "-h", "--json"]) expect(markdown).toContain(`\`${option}\``);
  });

  test("tell of the same exit codes", async () => {
    const help = (await user.does(["--help"])).out.replace(/\s+/g, " ").split("Exit codes: ")[1]!;
    const codes = [...help.matchAll(/(\d) ([a-z ]+?)(?=[,.])/g)].map(([, code, means]) => [code, means]);
    expect(codes.length).toBe(5);
    for (const [code, means] of codes) expect(markdown).toContain(`| ${code} | ${means}`);
  });
});

describe("objects of --json", () => {
  const printed = new Map<string, object[]>();
  /** Types a verb with --json, and keeps what it printed. */
  const tell = async (code: number, verb: string, words: string[] = [], typed: Typed = {}): Promise<void> => {
    const at = words.indexOf("--");
    const all = at < 0 ? [verb, ...words, "--json"] : [verb, ...words.slice(0, at), "--json", ...words.slice(at)];
    const objects = (await user.does(all, code, typed)).objects();
    printed.set(verb, [...(printed.get(verb) ?? []), ...objects]);
  };

  /** Writes down what a call of a coding agent reached outside. */
  const reachOut = async (): Promise<void> => {
    const store = await openStore(user.store);
    const scope = await attach(store, "w");
    const what = await putBytes(store, Buffer.from("codeberg.org:443"));
    const facts = { note: "egress", what, class: "registry", tier: "repeatable", allowed: true, connection: "1.1" };
    await scope.writer.note(2, { ...facts, state: "open" });
    await scope.writer.note(2, { ...facts, state: "closed", sent: 1, received: 2 });
    await scope.close();
    await store.close();
  };

  /** The verb that goes on until it is interrupted. */
  const tellGateway = async (): Promise<void> => {
    const running = user.start(["gateway", "--scope", "gw", "--json"]);
    await until(
      () => running.out.includes("ANTHROPIC_BASE_URL"),
      () => running.err,
    );
    running.process.kill("SIGINT");
    const done = await running.ended;
    expect([done.code, done.err]).toEqual([0, expect.stringContaining("until Ctrl-C")]);
    printed.set("gateway", done.objects());
    await tell(0, "gateway", ["--scope", "gc", "--", "touch", "made"]);
    if (!(await detect()).samePath) return;
    const command = user.start([
      "gateway",
      "--scope",
      "gp",
      "--",
      "sh",
      "-c",
      "until [ -e over ]; do sleep 0.01; done",
    ]);
    await until(
      () => command.out.includes("until"),
      () => command.err,
    );
    const way = user.start(["port", "gp", "8000", "--json"]);
    await until(
      () => way.out.includes("local"),
      () => way.err,
    );
    command.process.kill("SIGINT");
    await command.ended;
    printed.set("port", (await way.ended).objects());
  };

  /** The other one. */
  const tellServe = async (): Promise<void> => {
    const running = user.start(["serve", "--port", "0", "--json"]);
    await until(
      () => running.out.includes("socket"),
      () => running.err,
    );
    running.process.kill("SIGINT");
    printed.set("serve", (await running.ended).objects());
    await tell(0, "serve", ["--python"]);
  };

  const tellMcp = async (): Promise<void> => {
    const running = user.start(["mcp", "--http", "--json"]);
    await until(
      () => running.out.includes("socket"),
      () => running.err,
    );
    running.process.kill("SIGINT");
    printed.set("mcp", (await running.ended).objects());
    await tell(0, "mcp", ["--print", "claude"]);
  };

  /** A run that others steer while it is at work. */
  const tellSteering = async (): Promise<void> => {
    const open = join(user.directory, "open");
    const turns = [
      { call: [bash(`until [ -e ${open} ]; do sleep 0.01; done`)] },
      { call: [bash("true")] },
      { say: "." },
    ];
    const model = user.script(turns, "steered");
    const running = user.start(["run", "--scope", "s", "--write", user.directory, "--model", model, "wait"]);
    await until(
      () => running.out.includes("model"),
      () => running.err,
    );
    await tell(0, "pause", ["s"]);
    await tell(0, "port", ["s", "8000"]);
    await tell(0, "inject", ["s", "hurry", "--dry-run"]);
    await tell(0, "inject", ["s", "hurry"]);
    await tell(0, "resume", ["s"]);
    const gate = user.start(["gate", "s", "--deny", "bash(true)", "--json"]);
    await until(
      () => gate.err.includes("patterns"),
      () => gate.err,
    );
    writeFileSync(open, "");
    await running.ended;
    printed.set("gate", (await gate.ended).objects());
    await tell(0, "observe", ["s"]);
  };

  /** A run that waits for its gate. */
  const tellWaiting = async (): Promise<void> => {
    const model = user.script([{ call: [bash("true")] }, { say: "." }], "waits");
    const running = user.start(["run", "--scope", "guarded", "--guard", "docs=wait", "--model", model, "wait"]);
    await until(
      () => running.err.includes("waits for its gate docs"),
      () => running.err,
    );
    await tell(0, "status");
    running.process.kill("SIGINT");
    await running.ended;
  };

  /** Two workers that conflict, of which one makes the check fail. */
  const tellSupervisor = async (): Promise<void> => {
    const one = user.script([{ call: [put("both.txt", "1\n")] }, { say: "." }], "one");
    const two = user.script(
      [
        { call: [put("both.txt", "2\n"), put("bad.txt", "bad\n")] },
        { say: "." },
        { call: [put("both.txt", "3\n")] },
        { say: "." },
        { call: [put("bad.txt", "good\n")] },
        { say: "." },
      ],
      "two",
    );
    const tasks = join(user.directory, "tasks.jsonl");
    const line = (name: string, model: string): string => `${JSON.stringify({ name, model, task: name })}\n`;
    writeFileSync(tasks, line("one", one) + line("two", two));
    const report = join(user.directory, "report");
    await tell(0, "supervise", [
      "--policy",
      "none",
      "--tasks",
      tasks,
      "--check",
      "! grep bad bad.txt",
      "--report",
      report,
    ]);
  };

  beforeAll(async () => {
    const work = user.script([
      { say: "I write.", call: [bash("printf 'three\\n' >> a.txt"), { tool: "read", input: { path: "a.txt" } }] },
      { say: "Written." },
      { say: "As I said." },
    ]);
    user.write({ "pipe.txt": "x" });
    await tell(0, "doctor");
    if (findHelper()) await tell(0, "doctor", ["--apparmor"]);
    await tell(0, "plugin");
    await tell(0, "plugin", ["add", join(import.meta.dirname, "../plugins/sample.mjs")]);
    await tell(0, "plugin", ["list"]);
    await tell(0, "plugin", ["remove", "sample"]);
    makeRoot(join(user.directory, "image"), ["cat"]);
    const config = { WorkingDir: "/from" };
    const layout = makeLayout(join(user.directory, "layout"), { one: { layers: [tarOf([{ path: "x" }])], config } });
    await tell(0, "image", ["import", "small", join(user.directory, "image")]);
    await tell(0, "image", ["import", "layered", layout]);
    await tell(0, "image", ["list"]);
    await tell(0, "image", ["remove", "layered"]);
    await tell(0, "init");
    await tell(0, "run", ["--scope", "w", "--model", work, "write a line"]);
    const more = [
      "--service",
      "say=echo said",
      ...["--memory", "2GB", "--processes", "999", "--time", "1h", "--disk", "9GB"],
    ];
    await tell(1, "run", ["--scope", "c", ...more, "--", "sh", "-c", "sleep 0.5; false"]);
    await tell(0, "service", ["c"]);
    await tell(0, "service", ["c", "say"]);
    await tell(1, "run", ["--scope", "e", "--model", user.script([], "empty"), "do nothing"]);
    await tell(0, "run", ["--land", "auto", "--scope", "l", "--", "sh", "-c", "echo l > l.txt"]);
    await tell(0, "resume", ["w", "--model", work, "say it again"]);
    await tell(1, "shell", ["w"], { input: "cd dir\nfalse\n" });
    await tell(0, "exec", ["w", "--", "rm", "dir/b.txt"]);
    await tell(1, "exec", ["w", "--", "sh", "-c", "kill -9 $$"]);
    await tellGateway();
    await tellWaiting();
    await tellServe();
    await tellMcp();
    await tellSteering();
    await reachOut();
    await tellSupervisor();
    await tell(0, "log", ["w"]);
    for (const n of ["0", "1", "2", "4", "6"]) await tell(0, "show", ["w", n]);
    await tell(0, "diff", ["w"]);
    await tell(0, "blame", ["a.txt", "w@2"]);
    await tell(0, "bisect", ["w", "--bad", "2", "--", "sh", "-c", "! grep -q three a.txt"]);
    await tell(0, "cat", ["w", "2", "a.txt"]);
    await tell(0, "cat", ["w", "2", "dir"]);
    await tell(0, "checkout", ["w", "2", join(user.directory, "at-2")]);
    await tell(0, "replay", ["w"]);
    await tell(0, "fork", ["w", "2", "--dry-run"]);
    await tell(0, "fork", ["w", "2", "-k", "2"]);
    await tell(0, "fork", ["w", "2", "--result", "otherwise", "--scope", "other"]);
    await tell(0, "diff", ["w", "other"]);
    await tell(0, "handoff", ["other", "begin anew", "--dry-run"]);
    await tell(0, "handoff", ["other", "--from", "w@2", "--dry-run"]);
    await tell(0, "handoff", ["other", "begin anew"]);
    await tell(0, "handoff", ["other", "begin anew", "--from", "w@2"]);
    await tell(0, "tag", ["here", "w@2"]);
    await tell(0, "tag", ["--check", "grep -q three a.txt"]);
    await tell(0, "tag");
    await tell(0, "tag", ["--green", "w.1"]);
    await tell(0, "tag", ["--delete", "here"]);
    await tell(0, "revert", ["w", "2", "--dry-run"]);
    await tell(0, "revert", ["w", "2"]);
    await tell(0, "exec", ["w.1", "--", "sh", "-c", "echo 1 > new; mkdir .husky; echo 1 > .husky/pre-commit"]);
    await tell(0, "exec", ["w.2", "--", "sh", "-c", "echo 2 > new"]);
    await tell(0, "merge", ["w.1", "--into", "w", "--dry-run"]);
    await tell(0, "merge", ["w.1", "--into", "w"]);
    await tell(3, "merge", ["w.2", "--into", "w"]);
    await tell(0, "merge", ["w.2", "--dry-run"]);
    const commit = "git init -q; git add -A; git -c user.name=a -c user.email=a@b.invalid commit -qm c";
    await user.does(["run", "--scope", "g", "--", "sh", "-c", commit]);
    user.git("init", "-q");
    await tell(0, "merge", ["g", "--git"]);
    await tell(3, "merge", ["w"]);
    user.write({ new: "3\n" });
    await tell(3, "merge", ["w.2"]);
    await tell(0, "merge", ["w.2", "--take", "ours"]);
    await tell(3, "sync", ["w.2"]);
    await tell(0, "sync", ["c", "--dry-run"]);
    await tell(0, "sync", ["c"]);
    await tell(0, "undo", ["--dry-run"]);
    await tell(0, "undo");
    await tell(3, "undo");
    await tell(0, "undo", ["--list"]);
    user.write({ "both.txt": "one\n" });
    await user.does(["run", "--scope", "m", "--", "true"]);
    await user.does(["fork", "m", "1", "-k", "2"]);
    for (const word of ["1", "2"]) await user.does(["exec", `m.${word}`, "--", "sh", "-c", `echo ${word} >> both.txt`]);
    await user.does(["merge", "m.1", "--into", "m"]);
    await tell(0, "merge", ["m.2", "--into", "m", "--take", "both"]);
    user.write({ "both.txt": "one\nmine\n" });
    await tell(0, "sync", ["m.1", "--take", "both"]);
    await tell(0, "merge", ["m", "--take", "both"]);
    await tell(0, "discard", ["c", "--dry-run"]);
    await tell(0, "discard", ["c"]);
    await tell(0, "status", ["--all"]);
    const hook = "echo r > r1; echo r > r2; mkdir .husky; echo r > .husky/pre-push";
    await user.does(["run", "--land", "auto", "--scope", "r", "--", "sh", "-c", hook]);
    await user.does(["merge", "r", "--yes"]);
    user.write({ r1: "mine\n" });
    await tell(3, "revert", ["r", "0", "--land", "auto"]);
    const file = join(user.directory, "w.shepherd");
    const second = { env: { SHEPHERD_DIR: join(user.directory, "second") } };
    await tell(0, "export", ["w", "--dry-run"]);
    await tell(0, "export", ["w", "-o", file]);
    await tell(0, "export", ["w", "--git", join(user.directory, "w.git"), "--dry-run"]);
    await tell(0, "export", ["w", "--git", join(user.directory, "w.git")]);
    await tell(0, "import", [file, "--dry-run"], second);
    await tell(0, "import", [file], second);
    await tell(0, "status", [], second);
    await tell(0, "gc", ["--dry-run"]);
    await tell(0, "du");
    await tell(0, "cost");
    await tell(0, "grep", ["three"]);
    await tell(0, "grep", ["--files", "three"]);
    await tell(0, "forget", ["--containing", "three", "--dry-run"]);
    await tell(0, "forget", ["--containing", "three", "--yes"]);
    await tell(3, "checkout", ["w.1", "2", join(user.directory, "without")]);
    await tell(0, "fsck", ["--full"]);
    const torn = join(user.store, "objects", "stray");
    writeFileSync(torn, "no record");
    await tell(0, "fsck");
    for (const verb of verbs) await tell(2, verb, ["--no-such-option"]);
    await tell(0, "uninstall", ["--dry-run"]);
    await tell(0, "uninstall", ["--yes"]);
    await tell(0, "uninstall");
  }, 300_000);

  /** Fields that nothing of what is typed above can have. */
  const UNSEEN: { [verb: string]: { why: string; fields: string[] } } = {
    init: { why: "all of this directory can be kept", fields: ["skipped[].path", "skipped[].why"] },
    fsck: {
      why: "nothing is damaged",
      fields: ["log", "seq", "id", "file", "offset", "repair", "fix", "fix.file", "fix.offset", "fix.byte"],
    },
    replay: {
      why: "there is no coding agent here: test/agents/replay.test.ts",
      fields: [
        "scope",
        "drive",
        "ending",
        "steps",
        "served",
        "divergences",
        "divergences[].n",
        "divergences[].kind",
        "divergences[].what",
      ],
    },
    merge: { why: "no tool has an effect outside yet", fields: ["inDoubt[].n", "inDoubt[].tier"] },
    undo: { why: "no tool has an effect outside yet", fields: ["inDoubt[].n", "inDoubt[].tier"] },
    revert: {
      why: "no tool has an effect outside yet",
      fields: ["outside[].n", "outside[].tier", "outside[].compensated", "outside[].inDoubt"],
    },
    discard: {
      why: "no tool has an effect outside yet",
      fields: ["outside[].n", "outside[].tier", "outside[].compensated", "outside[].inDoubt"],
    },
  };

  test("are the documented ones, field by field and type by type, and all documented ones are printed", () => {
    const wrong: string[] = [];
    const seen = new Map<Kind, Set<string>>();
    const unseen = new Map<Kind, string[]>();
    for (const verb of verbs) {
      const kinds = kindsFor(sections, verb);
      for (const kind of kinds) if (!seen.has(kind)) seen.set(kind, new Set());
      for (const kind of sections.get(verb)!.kinds) unseen.set(kind, UNSEEN[verb]?.fields ?? []);
      for (const object of printed.get(verb) ?? []) {
        const fits = kinds.find((kind) => misfits(object, kind).length === 0);
        if (fits) misfits(object, fits, seen.get(fits));
        else {
          const nearest = kinds.map((kind) => misfits(object, kind)).sort((a, b) => a.length - b.length)[0]!;
          wrong.push(`${verb}: ${JSON.stringify(object)} is no documented object: ${nearest.join("; ")}`);
        }
      }
    }
    for (const [kind, paths] of seen)
      for (const { path } of kind.fields)
        if (!paths.has(path) && !unseen.get(kind)?.includes(path))
          wrong.push(`docs/cli.md:${kind.line}: no object that was printed has ${path}`);
    expect(wrong.join("\n")).toBe("");
  });
});
