/** What the documents say about the repository, beside the commands that they show. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, test } from "vitest";
import { fences } from "./blocks.ts";
import { ROOT } from "./reader.ts";
import { sectionsOf } from "./reference.ts";

const text = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const documents = ["README.md", "CONTRIBUTING.md", ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`)];

/** The name by which a heading can be linked to. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");

/** A document without its blocks of code. */
function prose(document: string): string {
  let rest = text(document);
  for (const { lines } of fences(rest)) if (lines.length > 0) rest = rest.replace(lines.join("\n"), "");
  return rest;
}

test("links lead somewhere", () => {
  const wrong: string[] = [];
  for (const document of documents)
    for (const [, link] of prose(document).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https:/.test(link!)) continue;
      const [path = "", anchor] = link!.split("#");
      const target = path === "" ? document : relative(ROOT, join(ROOT, dirname(document), path));
      if (!existsSync(join(ROOT, target))) wrong.push(`${document}: there is no ${target}`);
      else if (anchor !== undefined) {
        const headings = [...prose(target).matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchorOf(heading!));
        if (!headings.includes(anchor)) wrong.push(`${document}: ${target} has no heading #${anchor}`);
      }
    }
  expect(wrong).toEqual([]);
});

test("README names each verb once", () => {
  const named = [...text("README.md").matchAll(/^\| ((?:`[a-z]+` ?)+)\|/gm)].flatMap(([, cell]) =>
    cell!.match(/[a-z]+/g),
  );
  const verbs = [...sectionsOf(text("docs/cli.md")).values()]
    .filter(({ usage }) => usage.startsWith("shepherd "))
    .map(({ verb }) => verb);
  expect(named.sort()).toEqual(verbs.sort());
});

test("docs/internals.md lists the folders of src in the order in which they may import", () => {
  const listed = [...text("docs/internals.md").matchAll(/^\| `src\/([a-z]+)\/`/gm)].map(([, name]) => name!);
  const order = /ORDER = \[([^\]]*)\]/.exec(text("scripts/check.mjs"))![1]!.match(/[a-z]+/g)!;
  const folders = readdirSync(join(ROOT, "src"), { withFileTypes: true }).filter((each) => each.isDirectory());
  expect([...listed].sort()).toEqual(folders.map(({ name }) => name).sort());
  expect(listed).toEqual(order.filter((name) => listed.includes(name)));
});

test("files and folders that docs/internals.md names are there", () => {
  const named = [...prose("docs/internals.md").matchAll(/`((?:[a-z]+\/)*[a-z-]+\.(?:ts|mjs)|(?:[a-z]+\/)+)`/g)];
  const places = ["", "src", "src/agent", "src/agent/tools", "src/gateway", "src/trace", "src/scope", "src/run"];
  // What lies in a store is told by the format.
  const missing = named
    .map(([, path]) => path!)
    .filter((path) => !["cache/", "derived/"].includes(path) && !places.some((at) => existsSync(join(ROOT, at, path))));
  expect(named.length).toBeGreaterThan(30);
  expect(missing).toEqual([]);
});

test("docs/cli.md names each variable of the environment that is read by its own name", () => {
  const read = new Set<string>();
  for (const path of readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }))
    if (path.endsWith(".ts") && !path.endsWith(".test.ts"))
      for (const [, name] of text(join("src", path)).matchAll(/\benv\.(SHEPHERD_[A-Z_]+|NO_COLOR|TERM)\b/g))
        read.add(name!);
  expect(read.size).toBeGreaterThan(4);
  for (const name of read) expect(text("docs/cli.md")).toContain(`\`${name}`);
});
