// What the arms came to, in tables.
import { rowsOf } from "../lib.mjs";
import { ARMS } from "./arms.mjs";
import { mcnemar } from "./mcnemar.mjs";

/** What Python says where a function that a test has defined is given an argument that it does not know. */
const STAND_IN = /<locals>.*unexpected keyword argument/;

const p = (value) => (value < 0.001 ? value.toExponential(1) : value.toFixed(3));

/** @param results one for each pair: `{ task, a, b, arms: { NAME: { pass, settled, why } } }` */
export function report(ceiling, results) {
  const tasks = [...new Set(results.map(({ task }) => task))];
  const passed = (list, name) => list.filter(({ arms }) => arms[name].pass).length;
  const clean = (list) => list.filter(({ arms }) => !arms.git.why?.startsWith("conflict"));
  const row = (title, list) => [title, list.length, clean(list).length, ...ARMS.map(({ name }) => passed(list, name))];
  const lines = [
    `Ceiling: ${ceiling.features.filter(({ pass }) => pass).length} of ${ceiling.features.length} features pass their own suite by themselves, and ${ceiling.combined.filter(({ pass }) => pass).length} of ${ceiling.combined.length} in the dataset's own merge of all features of a task.`,
    "",
    ...rowsOf(
      ["task", "pairs", "no textual conflict", ...ARMS.map(({ title }) => `\`${title}\` passes`)],
      [
        ...tasks.map((task) =>
          row(
            task,
            results.filter((each) => each.task === task),
          ),
        ),
        row("**all**", results),
      ],
    ),
    "",
    ...rowsOf(
      ["", "gained", "lost", "exact McNemar, p"],
      ARMS.slice(1)
        .map(({ name, title }, i) => {
          const gained = results.filter(({ arms }) => arms[name].pass && !arms[ARMS[i].name].pass).length;
          const lost = results.filter(({ arms }) => !arms[name].pass && arms[ARMS[i].name].pass).length;
          return [`\`${title}\` against \`${ARMS[i].title}\``, gained, lost, p(mcnemar(gained, lost))];
        })
        .concat(versus(results, "both", "union"), versus(results, "both", "git")),
    ),
  ];
  const both = (test) => results.filter(({ arms }) => test(arms.both));
  const failing = both(({ pass }) => !pass);
  const unfit = both(({ settled, pass, why }) => settled && !pass && STAND_IN.test(why));
  lines.push(
    "",
    `\`--take both\` settled ${both(({ settled }) => settled).length} pairs that conflict, of which ${both(({ settled, pass }) => settled && pass).length} pass and ${both(({ settled, pass }) => settled && !pass).length} do not, and left ${both(({ why }) => why?.startsWith("conflict")).length} as a conflict. ` +
      `Union settled ${results.filter(({ arms }) => arms.union.settled).length}, of which ${results.filter(({ arms }) => arms.union.settled && arms.union.pass).length} pass.`,
    `Pairs that git merges without a conflict and that pass: ${clean(results).filter(({ arms }) => arms.git.pass).length}; of these \`shepherd merge\` passes ${clean(results).filter(({ arms }) => arms.git.pass && arms.lines.pass).length}, with \`--take both\` ${clean(results).filter(({ arms }) => arms.git.pass && arms.both.pass).length}.`,
    `Of the settled pairs that do not pass, ${unfit.length} fail since a stand-in in the tests of one feature does not take an argument that the other feature gives (\`unexpected keyword argument\`); the dataset's own merge writes these calls in another way.`,
    "",
    `The ${failing.length} pairs that do not pass with \`--take both\`:`,
    "",
    ...rowsOf(
      ["pair", "what", "union", "why"],
      failing.map(({ task, a, b, arms: { both, union } }) => [
        `${task} ${a}, ${b}`,
        both.why.startsWith("conflict")
          ? "left"
          : both.settled
            ? "settled, tests fail"
            : "no textual conflict, tests fail",
        union.pass ? "passes" : "fails",
        both.why.replaceAll("|", "\\|"),
      ]),
    ),
  );
  return lines;
}

function versus(results, name, other) {
  const title = (of) => ARMS.find((arm) => arm.name === of).title;
  const gained = results.filter(({ arms }) => arms[name].pass && !arms[other].pass).length;
  const lost = results.filter(({ arms }) => !arms[name].pass && arms[other].pass).length;
  return [[`\`${title(name)}\` against \`${title(other)}\``, gained, lost, p(mcnemar(gained, lost))]];
}
