/**
 * Asks a model, once for all workers. What it is asked begins with the same bytes each time: who it is, then what it may do, and last what is seen now. Nothing of what it
 * answers counts but what `readAnswer` finds; when it cannot be asked, nothing is done.
 */
import type { ModelPort, ModelRequest } from "../../../agent/model.ts";
import { readAnswer } from "../answer.ts";
import { ACTIONS, type Granted } from "../decision.ts";
import { acted } from "../memory.ts";
import { type Decided, type Look, type Policy, REST } from "../policy.ts";
import { snapshot } from "../snapshot.ts";
import { isAtWork, type WorkerView } from "../view.ts";
import { SYSTEM } from "./prompt.ts";

export interface ModelPolicyOptions {
  port: ModelPort;
  /** What the user wants of the supervisor, beside what it is told anyway. */
  guidance?: string;
  /** So long an answer is waited for, in ms. */
  timeoutMs?: number;
}

const TIMEOUT = 60_000;
/** UTF-16 units of the user's guidance. */
const MOST_GUIDANCE = 8000;

export const modelPolicy = ({ port, guidance, timeoutMs = TIMEOUT }: ModelPolicyOptions): Policy => ({
  name: "model",
  decide: async (look, signal) => {
    const views = look.views.filter(isAtWork);
    if (views.length === 0) return { decisions: [], refused: [] };
    const asked = await ask(
      port,
      requestOf(port, { ...look, views }, guidance),
      AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    );
    signal.throwIfAborted();
    const { usage, usd } = asked;
    const spent = { ...(usage && { usage }), ...(usd !== undefined && { usd }) };
    if ("why" in asked) return { decisions: [], refused: [{ worker: null, action: null, why: asked.why }], ...spent };
    return { ...counted(asked.text, { ...look, views }), ...spent };
  },
});

/** The request of one look. */
export function requestOf(
  port: Pick<ModelPort, "name" | "params">,
  { views, granted, memory }: Look,
  guidance?: string,
): ModelRequest {
  const told =
    guidance === undefined ? "" : `\nWhat the user asks of you: ${JSON.stringify(guidance.slice(0, MOST_GUIDANCE))}`;
  const say = (text: string) => ({ role: "user" as const, content: [{ type: "text" as const, text }] });
  return {
    model: port.name,
    system: SYSTEM,
    tools: [],
    messages: [
      say(`What you may do, by worker:\n${rightsOf(views, granted)}${told}`),
      say(`The workers now, a line each:\n${snapshot(views, memory)}`),
    ],
    ...(port.params && { params: port.params }),
  };
}

/** As long as the same workers are at work, the same bytes. */
const rightsOf = (views: readonly WorkerView[], granted: Granted): string =>
  views
    .map(({ name }) =>
      JSON.stringify({ worker: name.slice(0, 64), may: ACTIONS.filter((action) => granted.get(name)?.has(action)) }),
    )
    .sort()
    .join("\n");

type Asked = ({ text: string } | { why: string }) & { usage?: { [kind: string]: number }; usd?: number };

async function ask(port: ModelPort, request: ModelRequest, signal: AbortSignal): Promise<Asked> {
  let text = "";
  try {
    for await (const event of port.call(request, signal)) {
      if (event.type === "block" && event.block.type === "text") text += event.block.text;
      if (event.type !== "end") continue;
      const { usage, cost, stop } = event;
      const spent = { usage, ...(cost !== undefined && { usd: cost }) };
      return stop === "end" || stop === "other"
        ? { text, ...spent }
        : { why: `The model's answer did not come to its end (${stop}).`, ...spent };
    }
    return { why: "The model's answer broke off." };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { why: `The model could not be asked: ${message.slice(0, 300)}` };
  }
}

/** What counts of an answer. */
function counted(text: string, { views, granted, memory }: Look): Decided {
  const { decisions, refused } = readAnswer(text, views, granted);
  const decided: Decided = { decisions: [], refused };
  for (const each of decisions) {
    // What waits must be answered each time; everything else needs time to show.
    const cause = each.action === "deny" || each.action === "rewrite" ? `model:${each.n}` : "model";
    if (acted(memory, each.worker, cause).ago <= REST)
      decided.refused.push({
        worker: each.worker,
        action: each.action,
        why: "Something was done about it a moment ago.",
      });
    else decided.decisions.push({ ...each, cause });
  }
  return decided;
}
