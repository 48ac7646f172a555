// How long the command takes to start, beside Node itself.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { cli, goal, home, interleaved, median, ms, quick, table, timed } from "./lib.mjs";

const project = join(home, "project");
mkdirSync(project);
const env = { ...process.env, SHEPHERD_DIR: join(home, "store") };
const run = (...args) => timed(process.execPath, args, { cwd: project, env }).ms;
run(cli, "status");
const words = { version: ["--version"], help: ["--help"], helpOf: ["run", "--help"], status: ["status"], du: ["du"] };
const times = await interleaved(quick ? 2 : 31, {
  node: () => run("-e", "0"),
  ...Object.fromEntries(Object.entries(words).map(([name, args]) => [name, () => run(cli, ...args)])),
});
const node = median(times.node);
table(
  "start",
  "Start of the command",
  "The command in a directory without runs and an empty store, in turn with `node -e 0`; medians.",
  ["what", "ms", "x `node -e 0`", "target"],
  [
    ["`node -e 0`", ms(node), "1.0", ""],
    ...Object.entries(words).map(([name, args]) => {
      const took = median(times[name]);
      const target = name === "helpOf" ? "told: loads all that a run needs" : goal("<= 2 x", took <= 2 * node);
      return [`\`shepherd ${args.join(" ")}\``, ms(took), (took / node).toFixed(2), target];
    }),
  ],
);
