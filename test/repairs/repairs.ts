/** Twenty small repositories, each with a bug, a test that finds it, and what a model that repairs it would do. */
export interface Repair {
  name: string;
  files: { [path: string]: string };
  /** Fails before the repair, and not behind it. */
  check: string;
  /** What is looked for: names of files, and lines. */
  looks: { glob: string; grep: string; read: string };
  fix: Array<{ tool: "edit" | "write" | "bash"; input: { [name: string]: string | boolean } }>;
}

const edit = (path: string, old: string, put: string, all?: true): Repair["fix"][number] => ({
  tool: "edit",
  input: { path, old, new: put, ...(all && { all }) },
});
const write = (path: string, content: string): Repair["fix"][number] => ({ tool: "write", input: { path, content } });
const bash = (command: string): Repair["fix"][number] => ({ tool: "bash", input: { command } });

/** A module in JavaScript with its test. */
const js = (name: string, source: string, asserts: string, grep: string, ...fix: Repair["fix"]): Repair => ({
  name,
  files: {
    "package.json": `{ "name": "${name}", "type": "module", "scripts": { "test": "node test.js" } }\n`,
    [`src/${name}.js`]: source,
    "test.js": `import assert from "node:assert";\nimport * as m from "./src/${name}.js";\n${asserts}\nconsole.log("ok");\n`,
  },
  check: "node test.js",
  looks: { glob: "src/**/*.js", grep, read: `src/${name}.js` },
  fix,
});

/** A script of the shell with its test. */
const sh = (name: string, source: string, test: string, grep: string, ...fix: Repair["fix"]): Repair => ({
  name,
  files: { [`bin/${name}.sh`]: source, "test.sh": `set -e\n${test}\necho ok\n` },
  check: "sh test.sh",
  looks: { glob: "*.sh", grep, read: `bin/${name}.sh` },
  fix,
});

export const REPAIRS: Repair[] = [
  js(
    "range",
    "export const range = (from, to) => {\n  const all = [];\n  for (let at = from; at < to; at++) all.push(at);\n  return all;\n};\n",
    "assert.deepEqual(m.range(1, 3), [1, 2, 3]);",
    "at < to",
    edit("src/range.js", "at < to", "at <= to"),
  ),
  js(
    "sorted",
    "export const sorted = (list) => list.sort();\n",
    "const given = [10, 9, 1];\nassert.deepEqual(m.sorted(given), [1, 9, 10]);\nassert.deepEqual(given, [10, 9, 1]);",
    "\\.sort\\(",
    write("src/sorted.js", "export const sorted = (list) => [...list].sort((a, b) => a - b);\n"),
  ),
  js(
    "total",
    "export async function total(prices) {\n  let sum = 0;\n  prices.forEach(async (price) => {\n    sum += await price();\n  });\n  return sum;\n}\n",
    "assert.equal(await m.total([async () => 1, async () => 2]), 3);",
    "forEach",
    edit(
      "src/total.js",
      "  prices.forEach(async (price) => {\n    sum += await price();\n  });",
      "  for (const price of prices) sum += await price();",
    ),
  ),
  js(
    "slug",
    'export const slug = (title) => title.toLowerCase().replace(" ", "-");\n',
    'assert.equal(m.slug("A b c"), "a-b-c");\nassert.equal(m.slug("  A  b "), "a-b");',
    "replace",
    edit("src/slug.js", '.replace(" ", "-")', '.trim().replace(/\\s+/g, "-")'),
  ),
  js(
    "chunk",
    "export function chunk(list, size) {\n  const parts = [];\n  for (let at = 0; at + size <= list.length; at += size) parts.push(list.slice(at, at + size));\n  return parts;\n}\n",
    "assert.deepEqual(m.chunk([1, 2, 3], 2), [[1, 2], [3]]);",
    "at \\+ size",
    edit("src/chunk.js", "at + size <= list.length", "at < list.length"),
  ),
  js(
    "merge",
    "export function merge(a, b) {\n  for (const key in b) a[key] = typeof b[key] === 'object' ? merge(a[key] ?? {}, b[key]) : b[key];\n  return a;\n}\n",
    "const base = { x: { y: 1 } };\nassert.deepEqual(m.merge(base, { x: { z: 2 } }), { x: { y: 1, z: 2 } });\nassert.deepEqual(base, { x: { y: 1 } });\nassert.deepEqual(m.merge({}, { n: null }), { n: null });",
    "typeof",
    write(
      "src/merge.js",
      "const isObject = (value) => typeof value === 'object' && value !== null;\n\nexport function merge(a, b) {\n  const made = { ...a };\n  for (const [key, value] of Object.entries(b)) made[key] = isObject(value) ? merge(made[key] ?? {}, value) : value;\n  return made;\n}\n",
    ),
  ),
  js(
    "csv",
    'export const fields = (line) => line.split(",");\n',
    "assert.deepEqual(m.fields('a,\"b,c\",\"d\"\"e\"'), ['a', 'b,c', 'd\"e']);",
    "split",
    write(
      "src/csv.js",
      'export const fields = (line) =>\n  [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, bare]) =>\n    quoted === undefined ? bare : quoted.replaceAll(\'""\', \'"\'),\n  );\n',
    ),
  ),
  js(
    "month",
    "export const lastDay = (year, month) => new Date(Date.UTC(year, month - 1, 0)).getUTCDate();\n",
    "assert.equal(m.lastDay(2024, 2), 29);\nassert.equal(m.lastDay(2023, 12), 31);",
    "Date\\.UTC",
    edit("src/month.js", "month - 1, 0", "month, 0"),
  ),
  js(
    "memo",
    "const known = {};\n\nexport const memo = (work) => (...given) => (known[given] ??= work(...given));\n",
    "const add = m.memo((a, b) => a + b);\nconst join = m.memo((a, b) => [a, b].join('|'));\nassert.equal(add(1, 2), 3);\nassert.equal(join(1, 2), '1|2');\nassert.equal(join('1,2', '3'), '1,2|3');\nassert.equal(join('1', '2,3'), '1|2,3');",
    "known",
    edit("src/memo.js", "const known = {};\n\n", ""),
    edit(
      "src/memo.js",
      "(work) => (...given) => (known[given] ??= work(...given))",
      "(work) => {\n  const known = new Map();\n  return (...given) => {\n    const key = JSON.stringify(given);\n    if (!known.has(key)) known.set(key, work(...given));\n    return known.get(key);\n  };\n}",
    ),
  ),
  js(
    "escape",
    'export const escape = (text) => text.replace("&", "&amp;").replace("<", "&lt;");\n',
    'assert.equal(m.escape("<a> & <b>"), "&lt;a> &amp; &lt;b>");',
    "&amp;",
    edit("src/escape.js", ".replace(", ".replaceAll(", true),
  ),
  js(
    "length",
    "export const cut = (text, most) => (text.length > most ? text.slice(0, most) : text);\n",
    'assert.equal(m.cut("a😀b", 2), "a😀");\nassert.ok(m.cut("😀😀", 1).isWellFormed());',
    "slice",
    edit("src/length.js", "(text.length > most ? text.slice(0, most) : text)", '[...text].slice(0, most).join("")'),
  ),
  js(
    "tree",
    "export const depth = ({ children }) => 1 + Math.max(...children.map(depth));\n",
    "assert.equal(m.depth({ children: [] }), 1);\nassert.equal(m.depth({ children: [{ children: [] }] }), 2);",
    "Math\\.max",
    edit("src/tree.js", "Math.max(...", "Math.max(0, ..."),
  ),
  js(
    "events",
    "export function emitter() {\n  const heard = [];\n  return {\n    on: (listen) => heard.push(listen),\n    off: (listen) => heard.splice(heard.indexOf(listen), 1),\n    emit: (event) => heard.forEach((listen) => listen(event)),\n  };\n}\n",
    "const e = m.emitter();\nconst seen = [];\nconst once = (x) => { e.off(once); seen.push(x); };\ne.on(once);\ne.on((x) => seen.push(-x));\ne.emit(1);\nassert.deepEqual(seen, [1, -1]);\ne.off(() => {});\ne.emit(2);\nassert.deepEqual(seen, [1, -1, -2]);",
    "splice",
    edit(
      "src/events.js",
      "off: (listen) => heard.splice(heard.indexOf(listen), 1)",
      "off: (listen) => heard.includes(listen) && heard.splice(heard.indexOf(listen), 1)",
    ),
    edit("src/events.js", "heard.forEach(", "[...heard].forEach("),
  ),
  js(
    "query",
    'export const parse = (text) => Object.fromEntries(text.split("&").map((pair) => pair.split("=")));\n',
    'assert.deepEqual(m.parse("a=1=2&b=x%20y"), { a: "1=2", b: "x y" });\nassert.deepEqual(m.parse(""), {});',
    "fromEntries",
    write("src/query.js", "export const parse = (text) => Object.fromEntries(new URLSearchParams(text));\n"),
  ),
  js(
    "version",
    "export const newer = (a, b) => a > b;\n",
    'assert.equal(m.newer("1.10.0", "1.9.0"), true);\nassert.equal(m.newer("1.0.0", "1.0.0"), false);',
    "newer",
    write(
      "src/version.js",
      'const numbers = (version) => version.split(".").map(Number);\n\nexport function newer(a, b) {\n  const [x, y] = [numbers(a), numbers(b)];\n  const at = x.findIndex((each, k) => each !== y[k]);\n  return at >= 0 && x[at] > y[at];\n}\n',
    ),
  ),
  {
    ...js(
      "config",
      'import { readFileSync } from "node:fs";\n\nexport const read = () => JSON.parse(readFileSync("config/app.json", "utf8"));\n',
      'assert.equal(m.read().port, 8080);\nprocess.chdir("src");\nassert.equal(m.read().port, 8080);',
      "readFileSync",
      edit("config/app.json", '"port": "8080"', '"port": 8080'),
      edit("src/config.js", '"config/app.json"', 'new URL("../config/app.json", import.meta.url)'),
    ),
    files: {
      "package.json": '{ "name": "config", "type": "module" }\n',
      "config/app.json": '{\n  "port": "8080"\n}\n',
      "src/config.js":
        'import { readFileSync } from "node:fs";\n\nexport const read = () => JSON.parse(readFileSync("config/app.json", "utf8"));\n',
      "test.js":
        'import assert from "node:assert";\nimport * as m from "./src/config.js";\nassert.equal(m.read().port, 8080);\nprocess.chdir("src");\nassert.equal(m.read().port, 8080);\nconsole.log("ok");\n',
    },
  },
  sh(
    "count",
    "for file in $1/*; do wc -l < $file; done\n",
    'mkdir -p "in put"; printf "a\\nb\\n" > "in put/x y"\ntest "$(sh bin/count.sh "in put")" = 2',
    "wc -l",
    edit("bin/count.sh", "for file in $1/*; do wc -l < $file; done", 'for file in "$1"/*; do wc -l < "$file"; done'),
  ),
  sh(
    "backup",
    'cp "$1" "$1.bak"\necho saved\n',
    'if sh bin/backup.sh none 2>/dev/null; then exit 1; fi\nprintf x > f; test "$(sh bin/backup.sh f)" = saved; cmp f f.bak',
    "saved",
    write("bin/backup.sh", 'set -e\ncp -- "$1" "$1.bak"\necho saved\n'),
  ),
  sh(
    "greet",
    'name=$1\ntest -n "$name" || nam=world\necho "Hello, $name"\n',
    'test "$(sh bin/greet.sh)" = "Hello, world"; test "$(sh bin/greet.sh "")" = "Hello, world"',
    "name",
    bash("sed -i 's/ nam=/ name=/' bin/greet.sh"),
  ),
  sh(
    "mode",
    "mkdir -p out\necho secret > out/key\n",
    'rm -rf out; umask 022; sh bin/mode.sh; test "$(ls -l out/key | cut -c1-10)" = "-rw-------"; rm -r out',
    "secret",
    bash("printf 'umask 077\\n' | cat - bin/mode.sh > new && mv new bin/mode.sh"),
  ),
];
