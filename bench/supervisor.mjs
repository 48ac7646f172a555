// Supervisors of two workers each, in a model of what goes wrong: nobody, chance, rules, and rules made worse. `--real` does a sample in real scopes,
// `--json` prints the counts, `--seed N` and `--pairs N` make other ones.
import { writeFileSync } from "node:fs";
import { median, put, quick, rowsOf, table } from "./lib.mjs";
import { chance, noisy, none, rules } from "./supervisor/arms.mjs";
import { makePair } from "./supervisor/pair.mjs";
import { play } from "./supervisor/play.mjs";
import { plot } from "./supervisor/plot.mjs";
import { difference, interval, mcnemar, percent, pOf, wilson } from "./supervisor/stats.mjs";
import { FAULTS, NO_FAULTS, NOISE } from "./supervisor/worker.mjs";

const FILE = "docs/supervisor.md";
const PLOT = "docs/supervisor-noise.svg";
const option = (name, usual) =>
  process.argv.includes(name) ? Number(process.argv[process.argv.indexOf(name) + 1]) : usual;
const SEED = option("--seed", 20260513);
const PAIRS = option("--pairs", quick ? 12 : 100);
const RHO = FAULTS.overlap;
const say = (text) => quick || process.stderr.write(`${text}\n`);

async function arm(make, options, pairs = PAIRS) {
  const results = [];
  for (let k = 0; k < pairs; k++) {
    const pair = makePair(SEED, k);
    results.push({ pair, result: await play(pair, make(pair), { faults: FAULTS, ...options }) });
  }
  const log = results.flatMap(({ result }) => result.log);
  const looks = results.reduce((sum, { result }) => sum + result.looks, 0);
  return {
    results,
    log,
    looks,
    passes: results.map(({ result }) => result.pass),
    passed: results.filter(({ result }) => result.pass).length,
  };
}

/** An arm beside another on the same pairs. */
function beside(a, b) {
  const gains = a.passes.filter((pass, k) => pass && !b.passes[k]).length;
  const losses = a.passes.filter((pass, k) => !pass && b.passes[k]).length;
  return { gains, losses, pValue: mcnemar(gains, losses), difference: difference(gains, losses, a.passes.length) };
}

// What rules do says how often chance acts.
say("rules");
const ruled = await arm(rules);
const rate = ruled.log.length / ruled.looks;
const mix = {};
for (const { action } of ruled.log) mix[action] = (mix[action] ?? 0) + 1;
say("nobody, chance");
const arms = { none: await arm(none), random: await arm(chance(rate, mix)), rules: ruled };
const compared = {
  rules: beside(arms.rules, arms.none),
  random: beside(arms.random, arms.none),
  "rules to random": beside(arms.rules, arms.random),
};

say("workers without a fault");
const clean = {};
for (const odd of [0, NOISE.odd, 10 * NOISE.odd]) {
  const { results, log, looks, passed } = await arm(rules, { faults: NO_FAULTS, odd });
  const touched = results.reduce((sum, { result }) => sum + new Set(result.log.map(({ worker }) => worker)).size, 0);
  clean[odd] = { workers: 2 * results.length, touched, acts: log.length, looks, passed, pairs: results.length };
}

say("how often lines are contended for");
const contended = [];
for (const overlap of quick ? [] : [0, 0.02, 0.05]) {
  const options = { faults: { ...FAULTS, overlap } };
  const [alone, watched] = [await arm(none, options), overlap === RHO ? ruled : await arm(rules, options)];
  contended.push({ overlap, alone, watched, ...beside(watched, alone) });
}

say("rules made worse");
const P = quick ? [0, 1] : [0, 0.25, 0.5, 0.75, 1];
const Q = quick ? [0, 0.1] : [0, 0.02, 0.05, 0.1, 0.2];
const sweep = [];
for (const q of Q)
  for (const p of P) {
    const made = await arm(noisy(p, q));
    const right = made.log.filter((each) => each.right).length;
    sweep.push({
      p,
      q,
      passed: made.passed,
      right: made.log.length === 0 ? 1 : right / made.log.length,
      ...beside(made, arms.none),
    });
  }

let real = null;
if (process.argv.includes("--real")) {
  say("in real scopes");
  const { inScopes } = await import("./supervisor/real.mjs");
  const sample = [...arms.rules.results.slice(0, quick ? 5 : 40), ...arms.none.results.slice(0, quick ? 5 : 20)];
  real = { pairs: sample.length, same: await inScopes(sample) };
}

if (process.argv.includes("--json")) {
  // What workers did before a moment does not depend on what the supervisor does behind it.
  const MOMENT = 15;
  const before = ({ entries }) => JSON.stringify(entries.map((all) => all.filter(({ tick }) => tick < MOMENT)));
  const until = await arm((pair) => {
    const inner = rules(pair);
    return { decide: (look) => (look.memory.tick < MOMENT ? inner.decide(look) : { decisions: [] }) };
  });
  const exact = until.results.filter(({ result }, k) => before(result) === before(ruled.results[k].result)).length;
  const brief = ([name, { passed, log, looks }]) => [name, { passed, acts: log.length, looks }];
  console.log(
    JSON.stringify({
      seed: SEED,
      pairs: PAIRS,
      arms: Object.fromEntries(Object.entries(arms).map(brief)),
      compared,
      clean,
      sweep,
      real,
      exact,
    }),
  );
  process.exit(0);
}

const faults = arms.rules.results.flatMap(({ result }) => result.faults);
const rowOf = ([name, { passed, log, looks }]) => {
  const against = compared[name];
  const wrong = log.filter(({ right }) => !right).length;
  const isChance = name === "random";
  return [
    name,
    `${percent(passed / PAIRS)} (${interval(wilson(passed, PAIRS))})`,
    against ? `${against.gains} / ${against.losses}` : "",
    against ? `${(100 * against.difference[0]).toFixed(1)} (${interval(against.difference.slice(1))})` : "",
    against ? pOf(against.pValue) : "",
    looks === 0 ? "0" : ((100 * log.length) / looks).toFixed(2),
    log.length === 0 || isChance ? "" : percent(wrong / log.length),
  ];
};
const apart = compared["rules to random"];
table(
  "supervisor",
  "Nobody, chance and rules",
  `${PAIRS} pairs, seed ${SEED}, faults by step: loop ${FAULTS.loop}, wrong file ${FAULTS.wrong}, destructive ${FAULTS.destructive}, the partner's lines ${RHO}. A pair passes if both end with exactly their edits and merge. Brackets are intervals of 95 %; p is McNemar's, exact, two-sided.`,
  [
    "arm",
    "pairs that pass",
    "won / lost to nobody",
    "difference in points",
    "p",
    "acts in 100 looks",
    "of these wrong",
  ],
  Object.entries(arms).map(rowOf),
  `Rules to chance: ${apart.gains} won, ${apart.losses} lost, p ${pOf(apart.pValue)}.`,
  FILE,
);
const kinds = ["loop", "wrong", "destructive", "overlap"];
const noticedOf = (kind) => faults.filter((each) => each.kind === kind);
const detection = kinds.map((kind) => {
  const all = noticedOf(kind);
  const noticed = all.filter((each) => each.noticed !== null);
  const delays = noticed.map((each) => each.noticed - each.tick);
  return [
    kind,
    all.length,
    `${percent(noticed.length / Math.max(1, all.length))} (${interval(wilson(noticed.length, all.length))})`,
    delays.length === 0 ? "" : median(delays),
    delays.length === 0 ? "" : Math.max(...delays),
  ];
});
const touch = Object.entries(clean).map(([odd, { workers, touched, acts, looks, passed, pairs }]) => [
  odd,
  `${percent(touched / workers)} (${interval(wilson(touched, workers))})`,
  `${acts} in ${looks}`,
  `${passed} of ${pairs}`,
  touched / workers <= 0.05 ? "<= 5 %: met" : "<= 5 %: **missed**",
]);
const blocks = [
  "Faults under rules, and after how many looks something right was done about them. A loop that ends by itself before its tenth call is not noticed, and need not be:",
  "",
  ...rowsOf(["fault", "began", "noticed", "median delay", "longest"], detection),
  "",
  "Workers without a fault, under rules. A third of their steps are tests, reads, cleaning and tries, of which some go on for ten; and a share of them looks bad and is not, as `git reset --hard` where nothing was changed:",
  "",
  ...rowsOf(
    ["share that looks bad", "workers to whom something was done", "acts in looks", "pairs that pass", "target"],
    touch,
  ),
  "",
  ...(contended.length === 0
    ? []
    : [
        "By how often a worker changes its partner's lines:",
        "",
        ...rowsOf(
          ["by step", "nobody", "rules", "won / lost", "p"],
          contended.map(({ overlap, alone, watched, gains, losses, pValue }) => [
            overlap,
            `${percent(alone.passed / PAIRS)} (${interval(wilson(alone.passed, PAIRS))})`,
            `${percent(watched.passed / PAIRS)} (${interval(wilson(watched.passed, PAIRS))})`,
            `${gains} / ${losses}`,
            pOf(pValue),
          ]),
        ),
        "",
      ]),
  ...(real
    ? [
        `In real scopes (forks of one directory, their files captured, merged by the store) ${real.same} of ${real.pairs} pairs came to what the model says.`,
        "",
      ]
    : []),
  "How good it must be: rules that overlook a fault with p, for as long as it lasts, and act on a worker at whom nothing is wrong with q at each look. Pairs that pass; in brackets McNemar's p against nobody:",
  "",
  ...rowsOf(
    ["q \\ p", ...P.map(String)],
    Q.map((q) => [
      q,
      ...P.map((p) => {
        const each = sweep.find((one) => one.p === p && one.q === q);
        return `${percent(each.passed / PAIRS)} (${each.gains < each.losses ? "worse, " : ""}${pOf(each.pValue)})`;
      }),
    ]),
  ),
  "",
  `![Pairs that pass, by how much is overlooked](${PLOT.replace("docs/", "")})`,
];
console.log(`\n${blocks.join("\n")}`);
put("supervisor-more", blocks, FILE);
if (!quick && process.argv.includes("--write"))
  writeFileSync(
    PLOT,
    plot({
      title: "Pairs that pass under rules made worse",
      x: "share of faults that are overlooked (p)",
      y: "pairs that pass",
      series: Q.map((q) => ({
        name: `q = ${q}`,
        points: P.map((p) => [p, sweep.find((one) => one.p === p && one.q === q).passed / PAIRS]),
      })),
      level: { name: "nobody", y: arms.none.passed / PAIRS },
    }),
  );
