/** A process that lands trees as whoever it runs as: tasks as JSON at its input, what came of them at its output. */
import * as fs from "node:fs";
import { land } from "../../src/run/landing/land.ts";
import { bench, type Dir, onDisk } from "./landing.ts";

process.umask(0o077);
const tasks = JSON.parse(fs.readFileSync(0, "utf8")) as { root?: string; from: Dir; to: Dir }[];
const results: { disk: [string, string][]; conflicts: string[] }[] = [];
for (const { root, from, to } of tasks) {
  const made = await bench(from, to, root);
  const { conflicts } = await land(made.options);
  const disk = root === undefined ? [...onDisk(made.root)] : [];
  results.push({ disk, conflicts: conflicts.map(({ path, text }) => `${path}: ${text}`).sort() });
  if (root === undefined) made.remove();
}
fs.writeFileSync(1, JSON.stringify(results));
