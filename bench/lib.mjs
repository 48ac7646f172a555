// What the benches share: medians, tables, where the tables go, and a place for their data that is removed at the end.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, tmpdir, totalmem } from "node:os";
import { basename, join, resolve } from "node:path";

/** A small run, which only shows that the bench works: its figures say nothing, and are never written down. */
export const quick = process.argv.includes("--quick");

/** Where the package that is measured was built. */
const built = resolve(process.env.SHEPHERD_BUILT ?? ".");
/** The command as users get it. */
export const cli = join(built, "bin/shepherd.js");
if (!existsSync(cli)) {
  console.error(`${cli} is not there: \`npm run build\` makes it.`);
  process.exit(2);
}
/** A compiled module of the sources. */
export const use = (path) => import(join(built, "dist", path));

/** A directory for the data of this bench, removed when it ends, however it ends. SHEPHERD_BENCH_DIR says on which disk. */
export const home = mkdtempSync(join(process.env.SHEPHERD_BENCH_DIR ?? tmpdir(), "shepherd-bench-"));
const atEnd = [() => rmSync(home, { recursive: true, force: true })];
/** Called at the end, the last one first. */
export const finallyDo = (work) => atEnd.push(work);
process.on("exit", () => {
  for (const work of atEnd.reverse()) work();
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

export const median = (values) => quantile(values, 0.5);
export const quantile = (values, q) =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))];
export const ms = (value) => (value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0));
export const s = (value) => (value / 1000).toFixed(value < 9950 ? 2 : 1);
export const mb = (bytes) => (bytes / 1e6).toFixed(1);
export const count = (value) => value.toLocaleString("en-US");
/** A goal and whether a figure meets it. */
export const goal = (text, met) => `${text}: ${met ? "met" : "**missed**"}`;

/** Wall time of a command in ms; throws if it fails. */
export function timed(command, args, options = {}) {
  const start = performance.now();
  const done = spawnSync(command, args, { stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 30, ...options });
  const took = performance.now() - start;
  if (done.status !== 0) throw new Error(`${command} ${args.join(" ")}: ${done.error ?? done.stderr}`);
  return { ms: took, stdout: done.stdout.toString() };
}

/** Runs functions in turn, `rounds` times over, so that noise meets all of them alike; gives the times of each. */
export async function interleaved(rounds, functions) {
  const times = Object.fromEntries(Object.keys(functions).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++)
    for (const [name, run] of Object.entries(functions)) {
      const start = performance.now();
      const given = await run();
      times[name].push(typeof given === "number" ? given : performance.now() - start);
    }
  return times;
}

/** Bytes and number of the files below a path: `bytes` is what they hold, `disk` what the file system has allocated. */
export function size(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return { bytes: stat.size, disk: stat.blocks * 512, files: 1 };
  return readdirSync(path)
    .map((name) => size(join(path, name)))
    .reduce((a, b) => ({ bytes: a.bytes + b.bytes, disk: a.disk + b.disk, files: a.files + b.files }), {
      bytes: 0,
      disk: stat.blocks * 512,
      files: 0,
    });
}

const FILE = "docs/performance.md";

/** The machine, and when. */
export const where = () =>
  `${new Date().toISOString().slice(0, 10)}, ${cpus().length} cores (${cpus()[0].model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release().split("-")[0]}, Node ${process.versions.node}, load ${loadavg()[1].toFixed(1)}`;

export const rowsOf = (head, rows) => [
  `| ${head.join(" | ")} |`,
  `|${head.map(() => "---").join("|")}|`,
  ...rows.map((row) => `| ${row.join(" | ")} |`),
];

/**
 * Prints a table, and with --write puts it into a document, in place of the one of the same name.
 * @param about one line: what was done.
 */
export function table(name, title, about, head, rows, notes = "", file = FILE) {
  const lines = [
    `## ${title}`,
    `${about}  `,
    `\`node bench/${basename(process.argv[1])}\`, ${where()}.`,
    "",
    ...rowsOf(head, rows),
    ...(notes ? ["", notes] : []),
  ];
  console.log(`\n${lines.join("\n")}`);
  put(name, lines, file);
}

/** With --write, and not quick: puts lines into a document, in place of those of the same name. */
export function put(name, lines, file) {
  if (quick || !process.argv.includes("--write")) return;
  const start = `<!-- ${name} -->`;
  const end = `<!-- /${name} -->`;
  const block = `${start}\n${lines.join("\n")}\n${end}`;
  const text = readFileSync(file, "utf8");
  const from = text.indexOf(start);
  const to = text.indexOf(end);
  writeFileSync(
    file,
    from < 0 ? `${text.trimEnd()}\n\n${block}\n` : text.slice(0, from) + block + text.slice(to + end.length),
  );
}
