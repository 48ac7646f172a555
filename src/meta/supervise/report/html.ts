/** A report as one HTML file with its plots. It loads nothing, and runs nothing. */
import type { Report } from "./data.ts";
import { bars, escaped, histogram, seconds, timeline } from "./plot.ts";
import { costWords, endWords, figuresOf, money, time, WORKER_HEAD, workerRow } from "./words.ts";

const STYLE =
  "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}table{border-collapse:collapse;font-size:13px}td,th{border-bottom:1px solid #ddd;padding:.2rem .6rem;text-align:left;vertical-align:top}td{overflow-wrap:anywhere}svg{width:100%;font:11px system-ui,sans-serif}.lane{stroke:#eee}pre{background:#f6f6f6;padding:.6rem;overflow:auto;font-size:12px}h2{margin-top:2rem}";

/** Text of others, bounded. */
const cell = (text: string, most = 400): string =>
  escaped(text.length > most ? `${text.slice(0, most).toWellFormed()}…` : text);

const table = (head: readonly string[], rows: ReadonlyArray<readonly string[]>): string =>
  `<table><tr>${head.map((each) => `<th>${escaped(each)}</th>`).join("")}</tr>${rows
    .map((row) => `<tr>${row.map((each) => `<td>${cell(each)}</td>`).join("")}</tr>`)
    .join("")}</table>`;

export function html(report: Report): string {
  const { plan, workers, decisions, verdicts, judged, merges, checks, spent, ticks, handedBack } = report;
  const figures = figuresOf(report);
  const waited = ticks.flatMap((tick) => (tick.waited === null ? [] : [tick.waited]));
  const parts = [
    `<h1>${escaped(report.run)}</h1>`,
    `<p>From ${time(report.from)}, ${seconds(figures.ms)}. Policy: ${escaped(plan.policy.name)}${plan.policy.model ? ` (${escaped(plan.policy.model)})` : ""}. ${escaped(endWords(report))}</p>`,
    "<h2>What happened</h2>",
    "<p>A dot is a step, a triangle above it a decision, one below it a call that did not pass.</p>",
    timeline(report),
    "<h2>Cost</h2>",
    `<p>${escaped(costWords(report))}</p>`,
    bars(
      [
        ...workers.map(({ name, spent: { tokens, usd } }) => ({
          name,
          amount: tokens,
          words: `${tokens} tokens, ${money(usd)}`,
        })),
        {
          name: "policy",
          amount: spent.policy.tokens,
          words: `${spent.policy.tokens} tokens, ${money(spent.policy.usd)}`,
        },
      ],
      "Tokens of each worker and of the policy",
    ),
    "<h2>From an event to the decision</h2>",
    `<p>Without the policy's own time: ${waited.length} of ${figures.looks} looks had news.</p>`,
    histogram(waited, "From an event to the decision"),
    ...(judged.length > 0
      ? ["<h2>From a call to its verdict</h2>", histogram(judged, "From a call to its verdict")]
      : []),
    "<h2>Workers</h2>",
    table(WORKER_HEAD, workers.map(workerRow)),
    "<h2>Decisions</h2>",
    decisions.length === 0
      ? "<p>None.</p>"
      : table(
          ["at", "worker", "action", "reason", "guidance", "refused"],
          decisions.map((each) => [
            time(each.at),
            each.worker,
            each.action,
            each.reason,
            each.guidance ?? "",
            each.refused ?? "",
          ]),
        ),
    ...(verdicts.length > 0
      ? [
          "<h2>Calls that did not pass</h2>",
          table(
            ["worker", "step", "call", "verdict", "reason"],
            verdicts.map(({ run, n, tool, input, decision, reason }) => [
              run,
              String(n),
              `${tool} ${String(input)}`,
              decision,
              reason ?? "",
            ]),
          ),
        ]
      : []),
    ...(merges.length > 0
      ? [
          "<h2>Merging</h2>",
          table(
            ["worker", "merge", "where both changed a place"],
            merges.map(({ worker, status, paths }) => [worker, status, paths.join(", ")]),
          ),
          table(
            ["handed back to", "for", "round", "refused"],
            handedBack.map(({ worker, cause, round, refused }) => [worker, cause, String(round), refused ?? ""]),
          ),
        ]
      : []),
    ...checks.flatMap(({ code, tail }, at) => [
      `<h3>Check ${at + 1}: ${code === 0 ? "passes" : `fails (${code ?? "a signal"})`}</h3>`,
      `<pre>${cell(tail, 4000)}</pre>`,
    ]),
  ];
  return `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"><title>${escaped(report.run)}</title><style>${STYLE}</style></head><body>\n${parts.join("\n")}\n</body></html>\n`;
}
