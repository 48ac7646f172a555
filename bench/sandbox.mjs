// How long a sandbox takes: to be made, to run a command, to end; by the helper, and by programs of the system.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { count, home, interleaved, median, ms, quick, table, timed, use } from "./lib.mjs";

const { openSandbox } = await use("scope/exec/sandbox.js");
const { detect } = await use("scope/exec/abilities.js");
const { helper } = await detect();
for (const name of ["store", "project", "tmp"]) mkdirSync(join(home, name));

const open = (network) =>
  openSandbox({
    binds: [{ from: join(home, "store"), to: join(home, "project"), mode: "rw" }],
    tmp: join(home, "tmp"),
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
    network,
  });
const networks = { "the host's network": "host", "a network of its own": { port: 7601 } };
const makers = { ...(helper && { helper: "0" }), programs: "1" };
const works = {};
for (const [maker, off] of Object.entries(makers)) {
  const by = (work) => () => {
    process.env.SHEPHERD_NO_HELPER = off;
    return work();
  };
  const timedIn = async (work) => {
    const start = performance.now();
    await work();
    return performance.now() - start;
  };
  for (const [name, network] of Object.entries(networks)) {
    let sandbox;
    works[`${maker}, made, with ${name}`] = by(() => timedIn(async () => (sandbox = await open(network))));
    works[`${maker}, first command, with ${name}`] = by(() => timedIn(() => sandbox.exec({ argv: ["true"] })));
    works[`${maker}, ended, with ${name}`] = by(() => timedIn(() => sandbox.dispose()));
  }
}
works.unshare = () => timed("unshare", ["--user", "--map-current-user", "--mount", "--pid", "--fork", "true"]).ms;
works.true = () => timed("true", []).ms;
const rounds = quick ? 3 : 101;
const times = await interleaved(rounds, works);
const took = (name) => median(times[name]);
const rows = [];
for (const name of Object.keys(networks))
  for (const [what, words] of [
    ["made", "a sandbox is made"],
    ["first command", "`true` runs in it"],
    ["ended", "it ends, and all in it"],
  ]) {
    const [mine, theirs] = ["helper", "programs"].map(
      (maker) => times[`${maker}, ${what}, with ${name}`] && took(`${maker}, ${what}, with ${name}`),
    );
    rows.push([
      `${words}, with ${name}`,
      mine === undefined ? "" : ms(mine),
      ms(theirs),
      mine === undefined ? "" : (theirs / mine).toFixed(1),
    ]);
  }
rows.push(["`unshare --user --mount --pid --fork true`, started from Node", "", ms(took("unshare")), ""]);
rows.push(["`true`, started from Node", "", ms(took("true")), ""]);
table(
  "sandbox",
  "Sandboxes",
  `A sandbox of one directory, ${count(rounds)} times each, in turn; medians in ms.`,
  ["what", "by the helper", "by programs of the system", "x"],
  rows,
);
