/**
 * What a model is shown of the workers: a line of JSON each, of bounded length, whatever the workers wrote. Their words stand in strings of JSON alone (`quote.ts`), so that
 * none of them can end a line, begin another worker, or look like the supervisor's own words.
 */
import { masked } from "../mask.ts";
import type { Memory } from "./memory.ts";
import { quote as inQuotes } from "./quote.ts";
import { CALLS, type CallView, type WorkerView } from "./view.ts";

/** Bytes of a snapshot of ten workers or fewer; each further one adds a tenth. A token of a usual text has four. */
export const MOST_BYTES = 12_000;
const FEW = 10;
/** One worker alone is told no more of than this. */
const MOST_OF_ONE = 5000;

/** So far behind its end a text is looked through for credentials, in UTF-16 units: of one that is cut in two nothing may be left. */
const BEYOND = 4096;

/** A text of others, masked, within so many bytes. */
const quote = (text: string, limit: number): string => inQuotes(masked(text.slice(0, limit + BEYOND)), limit);

/** Bytes that a worker's line may have. */
export const lineLimit = (workers: number): number =>
  Math.min(MOST_OF_ONE, Math.floor(MOST_BYTES / Math.min(FEW, Math.max(workers, 1))) - 1);

/** A line for each worker, in their order. `memory` says what was done about them already. */
export function snapshot(views: readonly WorkerView[], memory?: Memory): string {
  const limit = lineLimit(views.length);
  return views.map((view) => lineOf(view, limit, memory)).join("\n");
}

function lineOf(view: WorkerView, limit: number, memory: Memory | undefined): string {
  const share = (part: number, most: number): number => Math.max(24, Math.min(most, Math.floor(limit * part)));
  const members: string[] = [
    `"worker":${quote(view.name, 66)}`,
    `"state":${quote(view.state, 16)}`,
    `"agent":${quote(view.agent, 24)}`,
    `"steps":${whole(view.steps)}`,
    `"errors":${whole(view.errors)}`,
    `"still":${whole(view.still)}`,
  ];
  let left = limit - 2 - Buffer.byteLength(members.join(","));
  /** Adds a member if it fits. */
  const add = (name: string, value: string): void => {
    const size = Buffer.byteLength(name) + Buffer.byteLength(value) + 4;
    if (size > left) return;
    members.push(`"${name}":${value}`);
    left -= size;
  };
  add("task", quote(view.task, share(0.2, 350)));
  const pending = view.pending
    .slice(0, 3)
    .map(
      ({ n, tool, input }) =>
        `{"n":${whole(n)},"tool":${quote(tool, 32)},"input":${quote(jsonOf(input), share(0.11, 600))}}`,
    );
  if (pending.length > 0) add("pending", list(pending, Math.floor(limit * 0.35)));
  const acts = (memory?.acts ?? []).filter(({ worker }) => worker === view.name).slice(-3);
  if (memory && acts.length > 0)
    add(
      "acted",
      `[${acts.map((act) => `{"ticks":${whole(memory.tick - act.tick)},"action":"${act.action}"}`).join(",")}]`,
    );
  if (view.last) add("last", `{"action":${quote(view.last.action, share(0.08, 120))},"ms":${whole(view.last.ageMs)}}`);
  const budget = shares(view);
  if (budget !== "{}") add("budget", budget);
  if (view.regions)
    add(
      "regions",
      list(
        view.regions.slice(0, 8).map((each) => quote(each, share(0.05, 80))),
        share(0.08, 400),
      ),
    );
  const modified = view.modified.slice(0, 12).map(({ path }) => quote(path, share(0.05, 100)));
  if (view.modified.length > 0) {
    add("modified", whole(view.modified.length));
    add("paths", list(modified, share(0.15, 700)));
  }
  const calls = callsOf(view.calls.slice(-CALLS), limit);
  // The newest first, so that what does not fit is the oldest.
  if (calls.length > 0) add("calls", list(calls, left - 12));
  return `{${members.join(",")}}`;
}

/** As many of these as fit into so many bytes. */
function list(values: readonly string[], limit: number): string {
  let left = limit - 2;
  const kept: string[] = [];
  for (const value of values) {
    left -= Buffer.byteLength(value) + 1;
    if (left < 0) break;
    kept.push(value);
  }
  return `[${kept.join(",")}]`;
}

/** Calls, the newest first; those that are the same one after the other are one, with how many they are. */
function callsOf(calls: readonly CallView[], limit: number): string[] {
  const told: string[] = [];
  for (let at = calls.length - 1; at >= 0; ) {
    const { n, name, status, target, error, same } = calls[at]!;
    let times = 1;
    while (calls[at - times]?.same === same && calls[at - times]!.status === status) times++;
    at -= times;
    const size = Math.max(24, Math.min(120, Math.floor(limit * 0.05)));
    told.push(
      `[${whole(n)},${quote(name, 24)},${quote(status, 12)},${quote(target, size)}${error === undefined ? "" : `,${quote(error, size)}`}${times > 1 ? `,{"times":${times}}` : ""}]`,
    );
  }
  return told;
}

/** What of each budget is spent, in percent. */
function shares({ spent, budget }: WorkerView): string {
  const parts = (["tokens", "usd", "calls", "ms"] as const).flatMap((kind) => {
    const most = budget[kind];
    return most === undefined || !(most > 0) ? [] : [`"${kind}":${whole((100 * spent[kind]) / most)}`];
  });
  return `{${parts.join(",")}}`;
}

/** A number in few digits, whatever it is. */
const whole = (value: number): string =>
  Number.isFinite(value) ? String(Math.round(Math.min(Math.max(value, -999_999_999), 999_999_999))) : "null";

function jsonOf(input: unknown): string {
  try {
    return JSON.stringify(input) ?? "";
  } catch {
    return "";
  }
}
