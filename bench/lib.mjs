// What the benches share: medians, tables, and where the tables go.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

export const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
export const quantile = (values, q) =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))];
export const ms = (value) => (value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0));
export const mb = (bytes) => (bytes / 1e6).toFixed(1);

/** Wall time of a command in ms; throws if it fails. */
export function timed(command, args, options = {}) {
  const start = performance.now();
  const done = spawnSync(command, args, { stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 30, ...options });
  const took = performance.now() - start;
  if (done.status !== 0) throw new Error(`${command} ${args.join(" ")}: ${done.stderr}`);
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

const FILE = "docs/performance.md";

/** Prints a table and puts it into docs/performance.md, in place of the one of the same name. */
export function table(name, title, head, rows, notes = "") {
  const machine = `${cpus().length} cores (${cpus()[0].model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.versions.node}`;
  const lines = [
    `## ${title}`,
    `\`node bench/${name}.mjs\`, ${new Date().toISOString().slice(0, 10)}, ${machine}.`,
    "",
    `| ${head.join(" | ")} |`,
    `|${head.map(() => "---").join("|")}|`,
    ...rows.map((row) => `| ${row.join(" | ")} |`),
    ...(notes ? ["", notes] : []),
  ];
  console.log(`\n${lines.join("\n")}`);
  if (!process.argv.includes("--write")) return;
  const start = `<!-- ${name} -->`;
  const end = `<!-- /${name} -->`;
  const block = `${start}\n${lines.join("\n")}\n${end}`;
  const text = existsSync(FILE)
    ? readFileSync(FILE, "utf8")
    : "# Figures\nMedians; compared side by side in one run. Each table is written by the command named in it, with `--write`.\n";
  const from = text.indexOf(start);
  const to = text.indexOf(end);
  writeFileSync(
    FILE,
    from < 0 ? `${text.trimEnd()}\n\n${block}\n` : text.slice(0, from) + block + text.slice(to + end.length),
  );
}
