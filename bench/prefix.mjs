// How much of what siblings share is served from a provider's cache: forks of a run of the real Claude Code, before a provider with a prefix cache.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { agentsOrNothing, shepherd, startProvider, userIn } from "./agents.mjs";
import { count, goal, home, quick, table } from "./lib.mjs";
import { cacheable, makeCache } from "./prefix-cache.mjs";

const bin = agentsOrNothing();
const provider = await startProvider();
const DEPTHS = quick ? [1] : [3, 10, 20];
const SIBLINGS = quick ? [2] : [1, 2, 4, 8, 16];
/** What the paper measured with a real provider, for the mean of its tasks: of all prefix tokens, and with prefixes of 4,096 tokens and more. */
const PAPER = { 1: 86, 2: 95, 4: 95, 8: 95, 16: 94 };

const project = join(home, "project");
mkdirSync(project);
writeFileSync(join(project, "text.txt"), "The quick brown fox jumps over the lazy dog.\n".repeat(400));
const env = userIn(join(home, "user"), bin, provider);
const command = async (...args) => {
  const done = await shepherd(args, { cwd: project, env });
  if (done.code !== 0) throw new Error(`shepherd ${args.join(" ")}: ${done.code}: ${done.stderr}${done.stdout}`);
  return done.stdout;
};

const cache = makeCache();
/** Tokens that were served of each request, in the order of their coming. */
let served = [];
provider.usage = ({ json }) => {
  const read = cache.serve(json);
  served.push({ json, read });
  return { cache_read_input_tokens: read, cache_creation_input_tokens: cacheable(json) - read };
};

// The run: one call to an answer, each of which reads a piece of a text.
const turns = Math.max(...DEPTHS) + 1;
provider.script = Array.from({ length: turns }, (_, i) => ({
  say: `I read piece ${i}.`,
  call: [["Bash", { command: `sed -n ${i * 15 + 1},${i * 15 + 15}p text.txt`, description: "read" }]],
}));
await command("run", "claude", "read the text", "--scope", "it", "--land", "never");
const parent = served.map(({ json }) => json);
const tools = (await command("log", "it", "--json"))
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line))
  .filter(({ kind }) => kind === "tool")
  .map(({ n }) => n)
  .sort((a, b) => a - b);
// A sibling asks once.
provider.script = provider.script.map(() => ({ say: "done" }));

const per = (share) => `${(100 * share).toFixed(1)} %`;
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const rows = [];
const warm = Object.fromEntries(SIBLINGS.map((k) => [k, []]));
const later = [];
let scopes = 0;
for (const depth of DEPTHS) {
  const whole = cacheable(parent[depth]);
  const shares = () => served.map(({ read }) => Math.min(read, whole) / whole);
  const at = `it@${tools[depth - 1]}`;
  const row = [`${depth} calls, ${count(whole)} tokens`];
  // Everything that was kept is gone, as 5 minutes later; then one after the other, as they are.
  cache.clear();
  served = [];
  const k = quick ? 2 : 4;
  const made = (await command("fork", at, "-k", String(k), "--json")).trim().split("\n");
  for (const line of made) await command("resume", JSON.parse(line).name ?? JSON.parse(line).scope);
  if (served.length !== k) throw new Error(`${served.length} requests of ${k} siblings`);
  const [first, ...others] = shares();
  later.push(...others);
  row.push(per(first), per(mean(others)));
  // All at once with something new to do, as `run -k` does it, while what the siblings before have left is kept.
  for (const k of SIBLINGS) {
    served = [];
    await command(
      "run",
      "-k",
      String(k),
      "--from",
      at,
      "--scope",
      `warm${scopes++}`,
      "--land",
      "never",
      "now sum it up",
    );
    if (served.length !== k) throw new Error(`${served.length} requests of ${k} siblings`);
    warm[k].push(...shares());
    row.push(per(mean(shares())));
  }
  rows.push(row);
}
provider.close();
const all = SIBLINGS.map((k) => mean(warm[k]));
table(
  "prefix",
  "What siblings are served from a provider's cache",
  `A run of the real Claude Code 2.1.329 with ${turns} calls, forked behind some of them, before a scripted provider with a prefix cache by the rules of [prompt caching](https://docs.claude.com/en/docs/build-with-claude/prompt-caching) (marks by \`cache_control\`, tools before system before messages, 5 minutes, at least 1,024 tokens, 20 blocks back; 4 bytes of JSON are a token). Of the tokens that a provider may keep of the shared prefix, those that it served in the first request of each sibling.`,
  ["forked behind", "nothing kept: 1st sibling", "2nd and later", ...SIBLINGS.map((k) => `K = ${k}`)],
  [
    ...rows,
    [
      "all",
      "",
      goal(`${per(mean(later))}, >= 100 %`, Math.min(...later) === 1),
      ...all.map((share) => goal(per(share), share === 1)),
    ],
    ["the paper, for its tasks before a real provider", "", "", ...SIBLINGS.map((k) => `${PAPER[k]} %`)],
  ],
  "First `shepherd fork -k` and `shepherd resume` one after the other, when nothing is kept any more; then `shepherd run -k K --from STEP` with a new task, all K at once, while the prefix is kept. The paper's row (Shepherd, in Python) is what a real provider reported for other tasks, with its own marks and prefixes of at least 4,096 tokens: it stands beside and is not the same measurement. A real provider may drop what it keeps earlier, so that these figures are a bound from what is asked, not a promise of what is billed.",
);
