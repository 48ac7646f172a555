/** Plots of a report as inline SVG: no script, nothing from elsewhere. */
import type { Report } from "./data.ts";

export const escaped = (text: string): string => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

const WIDTH = 900;
const LEFT = 150;
const LANE = 24;
const COLOURS: { [status: string]: string } = { done: "#4a8", failed: "#d55", denied: "#d55", intent: "#aaa" };

const svg = (height: number, label: string, body: readonly string[]): string =>
  `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(label)}">${body.join("")}</svg>`;

const text = (x: number, y: number, words: string, anchor = "start"): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escaped(words)}</text>`;

/** Of a worker, so many marks are drawn: beyond that they would cover each other. */
const MOST_MARKS = 2000;

/** A lane for each worker: its steps, and above them what was decided and what was not let pass. */
export function timeline({ from, to, workers, decisions, verdicts }: Report): string {
  const span = Math.max(1, to - from);
  const x = (at: number): number => LEFT + ((Math.min(to, Math.max(from, at)) - from) / span) * (WIDTH - LEFT - 10);
  const body: string[] = [];
  for (const [row, { name, moments }] of workers.entries()) {
    const y = row * LANE + LANE / 2;
    body.push(text(LEFT - 8, y + 4, name.length > 20 ? `${name.slice(0, 19)}…` : name, "end"));
    body.push(`<line x1="${LEFT}" x2="${WIDTH - 10}" y1="${y}" y2="${y}" class="lane"/>`);
    for (const { n, kind, status, at } of moments.slice(-MOST_MARKS))
      body.push(
        `<circle cx="${x(at).toFixed(1)}" cy="${y}" r="${kind === "model" ? 2 : 3}" fill="${kind === "model" ? "#88a" : (COLOURS[status] ?? "#c93")}"><title>${escaped(`${n} ${kind} ${status}`)}</title></circle>`,
      );
    for (const { at, action, reason } of decisions.filter(({ worker }) => worker === name))
      body.push(
        `<path d="M${x(at).toFixed(1)} ${y - 3}l-5 -8h10z" fill="#36c"><title>${escaped(`${action}: ${reason}`)}</title></path>`,
      );
    for (const { at, tool, decision, reason } of verdicts.filter(({ run }) => run === name))
      body.push(
        `<path d="M${x(at).toFixed(1)} ${y + 3}l-5 8h10z" fill="#c33"><title>${escaped(`${decision} ${tool}: ${reason ?? ""}`)}</title></path>`,
      );
  }
  const bottom = workers.length * LANE;
  body.push(text(LEFT, bottom + 14, "0 s"), text(WIDTH - 10, bottom + 14, seconds(span), "end"));
  return svg(bottom + 20, "What each worker did, and what was decided", body);
}

export const seconds = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

/** Bars one below the other, each with its amount. */
export function bars(rows: ReadonlyArray<{ name: string; amount: number; words: string }>, label: string): string {
  const most = Math.max(1e-12, ...rows.map(({ amount }) => amount));
  const room = WIDTH - LEFT - 160;
  const body = rows.flatMap(({ name, amount, words }, row) => {
    const y = row * LANE;
    return [
      text(LEFT - 8, y + 16, name.length > 20 ? `${name.slice(0, 19)}…` : name, "end"),
      `<rect x="${LEFT}" y="${y + 5}" width="${((amount / most) * room).toFixed(1)}" height="${LANE - 10}" fill="#69c"/>`,
      text(LEFT + (amount / most) * room + 6, y + 16, words),
    ];
  });
  return svg(rows.length * LANE + 4, label, body);
}

/** Bounds of a histogram, in ms. */
const STEPS = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000];

/** How many of these durations fall between which bounds. */
export function histogram(durations: readonly number[], label: string): string {
  const rows = [...STEPS, Number.POSITIVE_INFINITY].map((bound, at) => {
    const under = STEPS[at - 1] ?? 0;
    const amount = durations.filter((each) => each >= under && each < bound).length;
    const name = bound === Number.POSITIVE_INFINITY ? `from ${seconds(under)}` : `under ${seconds(bound)}`;
    return { name, amount, words: String(amount) };
  });
  const last = rows.findLastIndex(({ amount }) => amount > 0);
  return bars(rows.slice(0, last + 1), label);
}
