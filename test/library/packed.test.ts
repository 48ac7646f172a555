/** The library as a user has it: what its types say under `tsc --strict` in a project of theirs, and that what is compiled runs. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { built } from "../support/built.ts";
import { type LibraryRig, libraryRig } from "../support/library-rig.ts";

const ROOT = resolve(import.meta.dirname, "../..");
let rig: LibraryRig;
beforeAll(async () => {
  rig = libraryRig({ "a.txt": "a\n" });
  const modules = join(rig.directory, "node_modules");
  mkdirSync(modules);
  symlinkSync(dirname(dirname(await built())), join(modules, "shepherd-ai"));
  symlinkSync(join(ROOT, "node_modules/@types"), join(modules, "@types"));
  writeFileSync(join(rig.directory, "package.json"), '{"type":"module"}');
});
afterAll(() => rig.end());

const SCHEMAS = `
import type { Schema } from "shepherd-ai";
const text: Schema<string> = { "~standard": { version: 1, vendor: "mine", validate: (value) => typeof value === "string" ? { value } : { issues: [{ message: "must be text" }] } } };
const length: Schema<string, number> = { "~standard": { version: 1, vendor: "mine", validate: (value) => ({ value: String(value).length }) } };
`;

const PROGRAM = `import { agent, agentOf, type Context, effect, inputs, runOf } from "shepherd-ai";
${SCHEMAS}
const pay = effect({ tier: "compensable", input: length, output: text, run: (cents) => "paid " + cents, undo: () => {} });
class Shop {
  constructor(readonly name: string) {}
  @agent({ input: length, effects: { pay } })
  async order(cents: number, ctx: Context<{ pay: typeof pay }>): Promise<string> {
    await ctx.bash("echo " + cents + " > order.txt");
    return this.name + ": " + (await ctx.do.pay("x".repeat(cents)));
  }
}
const write = agent("write", { input: text, instruction: (what) => "Write " + what, model: async () => "It is written." });
const look = agent("look", { input: inputs({ run: runOf(write, "observe") }), body: async ({ run }) => run.result });
const shop = new Shop("corner");
const options = { in: process.argv[2]!, store: process.argv[3]! };
const run = write.start("a poem", options);
await using order = agentOf(shop.order).start(4, { ...options, grants: { allow: ["pay"] } });
const results: string[] = [await run.result, await look.start({ run }, options).result, await order.result];
try {
  await shop.order(1, {} as never);
} catch (error) {
  results.push((error as Error).name);
}
console.log(JSON.stringify(results));
`;

/** Each line of these is wrong. */
const WRONG = [
  "watch.start({ run: low });",
  "write.start(3);",
  'effect({ tier: "compensable", input: text, output: text, run: (x) => x });',
  'agent("x", { effects: {}, body: async (_, ctx) => ctx.do.pay("x") });',
];
const BEFORE = `import { agent, effect, type Held, inputs, runOf } from "shepherd-ai";
${SCHEMAS}
const write = agent("write", { input: text, instruction: "Write." });
const watch = agent("watch", { input: inputs({ run: runOf(write, "observe", "revert") }), instruction: "Watch." });
declare const low: Held<string, Record<never, never>, "observe">;
`;

test("a program compiles and runs, and what the types do not let pass is an error at its place", () => {
  writeFileSync(join(rig.directory, "program.ts"), PROGRAM);
  writeFileSync(join(rig.directory, "wrong.ts"), `${BEFORE}${WRONG.join("\n")}\n`);
  const options = [
    "--strict",
    "--target",
    "es2022",
    "--module",
    "nodenext",
    "--types",
    "node",
    "--skipLibCheck",
    "false",
  ];
  const { stdout } = spawnSync(join(ROOT, "node_modules/.bin/tsc"), [...options, "program.ts", "wrong.ts"], {
    cwd: rig.directory,
    encoding: "utf8",
  });
  const places = [...stdout.matchAll(/^([\w./-]+)\((\d+),\d+\): error/gm)].map(([, file, line]) => `${file}:${line}`);
  const first = BEFORE.split("\n").length;
  expect([...new Set(places)]).toEqual(WRONG.map((_, k) => `wrong.ts:${first + k}`));
  const out = execFileSync(process.execPath, ["program.js", rig.at.in, rig.at.store], {
    cwd: rig.directory,
    encoding: "utf8",
  });
  expect(JSON.parse(out)).toEqual(["It is written.", "It is written.", "corner: paid 1", "Invalid"]);
});

test("the door is small: what is loaded before the first run starts is types, errors and little functions", async () => {
  const bin = join(dirname(await built()));
  const sizes = new Map<string, number>();
  const packages = new Set<string>();
  const take = (file: string): void => {
    if (sizes.has(file)) return;
    const text = readFileSync(join(bin, file), "utf8");
    sizes.set(file, text.length);
    for (const [, name] of text.matchAll(/^(?:import|export)[^;]*?"([^"]+)";/gm)) {
      if (name!.startsWith("./")) take(name!.slice(2));
      else packages.add(name!);
    }
  };
  take("index.js");
  // Both are there, or nearly, before any program begins.
  expect([...packages].filter((name) => !["node:crypto", "node:util"].includes(name))).toEqual([]);
  expect([...sizes.values()].reduce((all, each) => all + each)).toBeLessThan(64 << 10);
  expect(sizes.size).toBeGreaterThan(3);
});
