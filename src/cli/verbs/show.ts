/** `shepherd show`: one step in full. */

import { masked, maskedIn, maskedLines } from "../../meta/mask.ts";
import { EGRESS, egressOf, type Reached } from "../../scope/egress.ts";
import { aboutOf } from "../../scope/image.ts";
import { grantsOf, type ScopeRef } from "../../scope/registry.ts";
import { type Block, getBytes, getItem, textOf } from "../../scope/thread.ts";
import { readLog } from "../../scope/view.ts";
import { parseLink } from "../../trace/bytes.ts";
import { Forgotten } from "../../trace/objects.ts";
import type { Link } from "../../trace/ports.ts";
import type { Step } from "../../trace/seal.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { askedOf, callLines } from "../asked.ts";
import { Exit, isMisread } from "../errors.ts";
import { plain } from "../output.ts";
import { leftOutOf, linesOf, rowOf } from "../rows.ts";
import { chooseStep, chooseUnfinished } from "../select.ts";
import type { Context, Flags, Verb } from "../verb.ts";
import { counted, sizeText } from "../words.ts";

export const verb: Verb = {
  brief: "one step in full",
  usage: "[RUN] STEP",
  options: {
    output: {
      type: "boolean",
      help: "print all that it gave, as it was, and nothing else; an agent is told only so much of it",
    },
  },
  examples: ["shepherd show 6", "shepherd show 6 --output", "shepherd show fix-login 6 --json"],
  run: async (context, flags, args) => {
    const one = await chosen(context, args);
    try {
      await show(context, flags, one);
    } catch (error) {
      if (!isMisread(error)) throw error;
      throw new Exit(
        3,
        `Step ${one.step.n} of ${one.run.name} tells what cannot be read as Shepherd writes it: \`shepherd log ${one.run.name}\` shows what can.`,
      );
    }
    return undefined;
  },
};

async function show(context: Context, flags: Flags, { run, log, step, live }: Chosen): Promise<void> {
  const { out } = context;
  const store = await context.store();
  if (flags.output) {
    if (out.json) throw new Exit(2, "--output prints text, and no objects: leave --json out.");
    const { result } = step.outcome ?? {};
    if (!result) throw new Exit(2, `Step ${step.n} of ${run.name} gave nothing that could be printed.`);
    const text = step.intent.kind === "model" ? textOf(await getItem(store, result)) : await readable(store, result);
    const lines = maskedLines(text.split("\n"));
    process.stdout.write((out.terminal ? lines.map(plain) : lines).join("\n"));
    return;
  }
  const { sealed } = step;
  const row = await rowOf(store, run.name, step, live);
  const input = step.intent.what ? await readable(store, step.intent.what) : null;
  const items: unknown[] = [];
  for (const [thread, effect] of Object.entries(step.outcome?.threads ?? {}))
    for (const each of effect.append ?? []) items.push({ thread, ...(await getItem(store, each)) });
  const egress = await reached(store, log, step);
  const { why } = step.witness;
  const reason = typeof why === "string" && parseLink(why) ? masked(await readable(store, why as Link)) : null;
  out.object({
    ...row,
    egress,
    intent: step.intent,
    outcome: step.outcome,
    state: sealed?.state ?? null,
    carry: sealed?.carry ?? null,
    witness: { ...step.witness, ...step.outcomeWitness },
    why: reason,
    input: input && masked(input),
    items: maskedIn(items),
  });
  const field = (name: string, value: string): void => out.line(`${out.style("dim", name.padEnd(10))} ${value}`);
  const tell = (text: string): void => {
    for (const line of maskedLines(text.replace(/\n+$/, "").split("\n"))) out.line(`  ${plain(line)}`);
  };
  field("step", `${row.n} of ${run.name}`);
  field("commit", row.id ?? "none yet");
  for (const parent of row.parents) field("parent", parent);
  field("kind", `${row.kind} (${row.tier})`);
  field("status", STATUS[row.status] ?? row.status);
  field("at", row.at);
  const { by, right } = step.witness;
  if (typeof by === "string")
    field("by", `${plain(by)}${typeof right === "string" ? ` (right: ${plain(right)})` : ""}`);
  if (reason !== null) field("why", plain(reason));
  if (row.changes && row.changes.files > 0)
    field("changed", `${counted(row.changes.files, "file")} (${linesOf(row.changes)})`);
  if (typeof step.outcomeWitness.paths === "string") field("paths", step.outcomeWitness.paths);
  if (row.leftOut > 0)
    field(
      "left out",
      Object.entries(leftOutOf(step))
        .map(([why, count]) => `${count} ${why}`)
        .join(", "),
    );
  const { root } = await grantsOf(store, log);
  if (root) field("image", plain((await aboutOf(store, root)).source));
  for (const each of egress) field("egress", wordsOfEgress(each));
  if (sealed) field("files", parseLink(sealed.state.roots.workspace)?.id ?? "");
  const asked = askedOf(row.kind, input);
  // The message that begins a conversation says its task.
  if (asked && !(asked.word === "task" && items.length > 0)) {
    out.line();
    out.line(out.style("bold", asked.word));
    tell(masked(asked.lines.join("\n")));
  }
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
    out.line(out.style("bold", "output"));
    tell(await readable(store, step.outcome.result));
  }
}

function wordsOf(block: Block): string {
  if (block.type === "text") return block.text;
  if (block.type === "call") return masked(callLines(block.name, block.input).join("\n"));
  const { thinking, type } = block.value;
  return typeof thinking === "string" ? `(thinking) ${thinking}` : `(${String(type ?? "something")})`;
}

/** What it reached outside, masked. A name may have been made up to carry something out. */
async function reached(store: EmbeddedStore, log: string, step: Step): Promise<Reached[]> {
  const { fold } = await readLog(store, log);
  return fold.notes.has(EGRESS) ? maskedIn(await egressOf(store, log, step)) : [];
}

function wordsOfEgress({ place, class: kind, allowed, connections, sent, received }: Reached): string {
  const what = `${plain(place)} (${kind === "other" ? "irreversible" : kind})`;
  if (!allowed) return `${what}, refused`;
  return `${what}, ${counted(connections, "connection")}: ${sizeText(sent)} out, ${sizeText(received)} in`;
}

const STATUS: { [status: string]: string } = {
  intent: "running",
  "in-doubt": "in doubt: its process is gone, and whether it acted is not known",
};

/** The step that is meant, also one that still runs. */
interface Chosen {
  run: ScopeRef;
  log: string;
  step: Step;
  live: boolean;
}

async function chosen(context: Context, args: string[]): Promise<Chosen> {
  const unfinished = await chooseUnfinished(context, args);
  if (unfinished) return { ...unfinished, log: unfinished.run.log };
  const { run, revision } = await chooseStep(context, args, "shepherd show [RUN] STEP");
  return { run, log: revision.log, step: revision.step, live: false };
}

async function readable(store: EmbeddedStore, of: Link): Promise<string> {
  try {
    return (await getBytes(store, of)).toString();
  } catch (error) {
    if (error instanceof Forgotten) return "[forgotten]";
    throw error;
  }
}
