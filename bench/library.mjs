// What the library costs a program: its import, its types, its size.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { cli, count, goal, home, interleaved, mb, median, ms, quick, table, timed } from "./lib.mjs";

const built = dirname(dirname(cli));
const project = join(home, "project");
mkdirSync(join(project, "node_modules"), { recursive: true });
symlinkSync(built, join(project, "node_modules/shepherd-ai"));
symlinkSync(resolve("node_modules/@types"), join(project, "node_modules/@types"));
const file = (name, text) => {
  writeFileSync(join(project, name), text);
  return name;
};
file("package.json", '{ "type": "module" }');
const run = (name) => () => timed(process.execPath, [name], { cwd: project }).ms;
const compiler = resolve("node_modules/typescript/bin/tsc");
const check = (name) => () =>
  timed(
    process.execPath,
    [compiler, "--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", "--types", "node", name],
    { cwd: project },
  ).ms;
const program = `const add = agent("add", { instruction: "Add." });\nexport const run = add.start();\n`;
const times = await interleaved(quick ? 2 : 31, {
  node: run(file("bare.js", "")),
  library: run(file("library.js", 'import "shepherd-ai";\n')),
  testing: run(file("testing.js", 'import "shepherd-ai/testing";\n')),
});
const checks = await interleaved(quick ? 1 : 9, {
  bare: check(file("bare.ts", "export const one: number = 1;\n")),
  library: check(file("program.ts", `import { agent } from "shepherd-ai";\n${program}`)),
});
const node = median(times.node);
const more = (name) => median(times[name]) - node;
const types = median(checks.library) - median(checks.bare);
const names = readFileSync(join(built, "bin/types/index.d.ts"), "utf8")
  .match(/export (?:type )?\{[^}]*\}/g)
  .flatMap((each) => each.replace(/^[^{]*\{|\}$/g, "").split(","))
  .filter((name) => name.trim()).length;
const [packed] = JSON.parse(timed("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: built }).stdout);
table(
  "library",
  "The library",
  "A program that imports the library, in turn with one that imports nothing; `tsc --strict` of one that starts an agent, in turn with one that does not; medians. The package as `npm pack` makes it.",
  ["what", "figure", "target"],
  [
    ["`node` with an empty program, ms", ms(node), ""],
    ['`import "shepherd-ai"`, ms more', ms(more("library")), goal("<= 30 ms", more("library") <= 30)],
    ['`import "shepherd-ai/testing"`, ms more', ms(more("testing")), "told"],
    ["types of a program that starts an agent, ms more", ms(types), "told"],
    ["exported names", names, goal("<= 40", names <= 40)],
    ["the package, MB packed", mb(packed.size), "told"],
    ["the package, MB unpacked", mb(packed.unpackedSize), "told"],
    ["files in it", count(packed.entryCount), "told"],
  ],
);
