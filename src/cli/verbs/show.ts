/** `shepherd show`: one step in full. */

import { type Block, getBytes, getItem } from "../../scope/thread.ts";
import { parseLink } from "../../trace/bytes.ts";
import { Forgotten } from "../../trace/objects.ts";
import type { Link } from "../../trace/ports.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { masked, maskedIn, maskedLines } from "../mask.ts";
import { plain } from "../output.ts";
import { rowOf } from "../rows.ts";
import { chooseStep } from "../select.ts";
import type { Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "one step in full",
  usage: "[RUN] STEP",
  examples: ["shepherd show 6", "shepherd show fix-login 6 --json"],
  run: async (context, _flags, args) => {
    const { out } = context;
    const store = await context.store();
    const { run, revision } = await chooseStep(context, args, "shepherd show [RUN] STEP");
    const { step, sealed } = revision;
    const row = await rowOf(store, run.name, step, false);
    const input = step.intent.what ? await readable(store, step.intent.what) : null;
    const items: unknown[] = [];
    for (const [thread, effect] of Object.entries(step.outcome?.threads ?? {}))
      for (const each of effect.append ?? []) items.push({ thread, ...(await getItem(store, each)) });
    out.object({
      ...row,
      intent: step.intent,
      outcome: step.outcome,
      state: sealed.state,
      carry: sealed.carry,
      witness: { ...step.witness, ...step.outcomeWitness },
      input: input && masked(input),
      items: maskedIn(items),
    });
    const field = (name: string, value: string): void => out.line(`${out.style("dim", name.padEnd(10))} ${value}`);
    const tell = (text: string): void => {
      for (const line of maskedLines(text.split("\n"))) out.line(`  ${plain(line)}`);
    };
    field("step", `${row.n} of ${run.name}`);
    field("commit", row.id ?? "");
    for (const parent of row.parents) field("parent", parent);
    field("kind", `${row.kind} (${row.tier})`);
    field("status", row.status);
    field("at", row.at);
    if (typeof step.outcomeWitness.paths === "string") field("paths", step.outcomeWitness.paths);
    field("files", parseLink(sealed.state.roots.workspace)?.id ?? "");
    for (const item of items as Array<{
      role: string;
      content: Block[];
    }>) {
      out.line();
      out.line(out.style("bold", item.role));
      for (const block of item.content) tell(wordsOf(block));
    }
    if (items.length === 0 && step.outcome?.result) {
      out.line();
      tell(await readable(store, step.outcome.result));
    }
    return undefined;
  },
};

function wordsOf(block: Block): string {
  if (block.type === "text") return block.text;
  if (block.type === "call") return `${block.name}(${JSON.stringify(maskedIn(block.input))})`;
  const { thinking, type } = block.value;
  return typeof thinking === "string" ? `(thinking) ${thinking}` : `(${String(type ?? "something")})`;
}

async function readable(store: EmbeddedStore, of: Link): Promise<string> {
  try {
    return (await getBytes(store, of)).toString();
  } catch (error) {
    if (error instanceof Forgotten) return "[forgotten]";
    throw error;
  }
}
