/** A report as Markdown. */
import type { Report } from "./data.ts";
import { seconds } from "./plot.ts";
import type { Quantiles } from "./quantiles.ts";
import { costWords, endWords, figuresOf, time, WORKER_HEAD, workerRow } from "./words.ts";

/** Text of others in a cell: one line, and nothing in it that Markdown or HTML would take for its own. */
const cell = (text: string, most = 200): string => {
  const line = text.replace(/\s+/g, " ").trim();
  const cut = line.length > most ? `${line.slice(0, most).toWellFormed()}…` : line;
  return cut.replace(/[&<>]/g, (char) => `&#${char.charCodeAt(0)};`).replace(/[\\|`*_[\]!~]/g, (char) => `\\${char}`);
};

const table = (head: readonly string[], rows: ReadonlyArray<readonly string[]>): string[] => [
  `| ${head.join(" | ")} |`,
  `|${head.map(() => "---").join("|")}|`,
  ...rows.map((row) => `| ${row.join(" | ")} |`),
  "",
];

const spread = (of: Quantiles | null): string =>
  of === null
    ? "none"
    : `median ${seconds(of.median)}, 95 % ${seconds(of.p95)}, longest ${seconds(of.most)} (${of.count})`;

export function markdown(report: Report): string {
  const figures = figuresOf(report);
  const { plan, workers, decisions, verdicts, merges, checks, handedBack } = report;
  const lines = [
    `# ${report.run}`,
    "",
    `From ${time(report.from)}, ${seconds(figures.ms)}. Policy: ${plan.policy.name}${plan.policy.model ? ` (${cell(plan.policy.model)})` : ""}. ${endWords(report)}`,
    "",
    "## Cost",
    "",
    costWords(report),
    "",
    `- looks: ${figures.looks}`,
    `- from an event to the decision, without the policy's own time: ${spread(figures.waited)}`,
    `- from a call to its verdict: ${spread(figures.gate)}`,
    `- the policy's model: ${spread(figures.asked)}`,
    `- decisions: ${figures.decided}, of which ${figures.refused} were refused; calls not let pass as they were: ${figures.denied}`,
    "",
    "## Workers",
    "",
    ...table(
      WORKER_HEAD,
      workers.map((each) => workerRow(each).map((text, at) => (WORKER_HEAD[at] === "files" ? text : cell(text, 120)))),
    ),
  ];
  if (decisions.length > 0)
    lines.push(
      "## Decisions",
      "",
      ...table(
        ["at", "worker", "action", "reason", "guidance", "refused"],
        decisions.map(({ at, worker, action, reason, guidance, refused }) => [
          time(at),
          worker,
          action,
          cell(reason),
          cell(guidance ?? ""),
          cell(refused ?? ""),
        ]),
      ),
    );
  if (verdicts.length > 0)
    lines.push(
      "## Calls that did not pass",
      "",
      ...table(
        ["worker", "step", "call", "verdict", "reason"],
        verdicts.map(({ run, n, tool, input, decision, reason }) => [
          run,
          String(n),
          cell(`${tool} ${String(input)}`),
          decision,
          cell(reason ?? ""),
        ]),
      ),
    );
  if (merges.length + handedBack.length > 0)
    lines.push(
      "## Merging",
      "",
      ...merges.map(
        ({ worker, status, paths }) =>
          `- ${worker}: ${status}${paths.length > 0 ? ` (${cell(paths.join(", "))})` : ""}`,
      ),
      ...handedBack.map(
        ({ worker, cause, round, refused }) =>
          `- handed back to ${worker} for a ${cause === "conflict" ? "conflict" : "failing check"}, round ${round}${refused === null ? "" : `: ${cell(refused)}`}`,
      ),
      ...checks.map(({ code }) => `- check: ${code === 0 ? "passes" : `fails (${code ?? "a signal"})`}`),
      "",
    );
  return `${lines.join("\n").trimEnd()}\n`;
}
