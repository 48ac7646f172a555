/** Where a run that is driven once more goes otherwise than it went. */
import type { Served } from "../gateway/answers.ts";
import { differences } from "../gateway/differ.ts";
import { requestOf } from "../gateway/request.ts";
import { masked } from "../meta/mask.ts";
import type { Found } from "../scope/view.ts";
import { target } from "../trace/bytes.ts";
import type { Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { diffTrees } from "../world/diff.ts";
import { quotePath } from "../world/paths.ts";
import { clip, plain } from "./output.ts";

export interface Divergence {
  /** The step of the run; null for what came behind all of them. */
  n: number | null;
  /** The agent asked for something else, a call left other files or ended otherwise, a step did not come, or one came that was none. */
  kind: "request" | "files" | "status" | "missing" | "more";
  what: string;
}

interface Again {
  /** In the order of sealing. */
  steps: readonly Step[];
  served: readonly Served[];
}

/** What differs once differs in all that follows from it: it is told where it came first. */
export async function divergences(
  store: EmbeddedStore,
  path: readonly Found[],
  { steps, served }: Again,
  byChance?: RegExp,
): Promise<{ steps: number; served: number; divergences: Divergence[] }> {
  const found: Divergence[] = [];
  const known = new Set<string>();
  const tell = (n: number | null, kind: Divergence["kind"], what: string, key = `${n} ${what}`): void => {
    if (!known.has(key)) found.push({ n, kind, what });
    known.add(key);
  };
  for (const { what, from } of served) {
    if (!from) tell(null, "more", "It asked the model once more, which has no answer on record.");
    else if (from.step.intent.what !== what) {
      const [was, is] = [await requestOf(store, from.step.intent.what!), await requestOf(store, what)];
      for (const each of differences(was, is, byChance))
        tell(
          from.step.n,
          "request",
          `${each.part} was ${short(each.was)} and is ${short(each.is)}.`.replace(/^./, (first) => first.toUpperCase()),
          JSON.stringify(each),
        );
    }
  }
  // Calls have names of their own, which came with the answers.
  const again = new Map(steps.flatMap((step) => (step.intent.kind === "tool" ? [[step.intent.what, step]] : [])));
  const agents = path.filter(({ step }) => step.intent.kind === "tool" || step.intent.kind === "model");
  for (const { step } of agents) {
    const { n, intent, outcome } = step;
    const other = again.get(intent.what);
    const came =
      intent.kind === "model" ? served.some(({ from }) => from?.step === step) : other !== undefined || isOwn(step);
    if (!came && outcome?.status !== "failed") tell(n, "missing", "It did not come to this.");
    if (!other) continue;
    if (other.outcome?.status !== outcome?.status)
      tell(n, "status", `It is ${other.outcome?.status ?? "open"}, and was ${outcome?.status}.`);
    if (!other.sealed || !step.sealed) continue;
    const [was, is] = [step.sealed.state, other.sealed.state].map(({ roots }) => target(roots.workspace));
    for await (const { path, before, after } of diffTrees(store.objects, was!, is!))
      if (before?.type !== "d" && after?.type !== "d") {
        const name = plain(quotePath(path));
        const how = !after ? "is not there" : !before ? "is there, and was not" : "is another one";
        tell(n, "files", `${name} ${how}.`, `${name} ${before?.id} ${before?.mode} ${after?.id} ${after?.mode}`);
      }
  }
  const last = Number.POSITIVE_INFINITY;
  found.sort((a, b) => (a.n ?? last) - (b.n ?? last));
  return { steps: agents.length, served: served.filter(({ from }) => from).length, divergences: found };
}

/** Whether a script made a call, and no model asked for it: then it has another name each time. */
const isOwn = ({ links }: Step): boolean => links.turn === undefined;

const short = (text: string | null): string => (text === null ? "not there" : `“${clip(plain(masked(text)), 60)}”`);
