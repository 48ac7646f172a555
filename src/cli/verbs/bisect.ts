/** `shepherd bisect`: the first step at which a command fails. */

import { bisect, type Candidate, probeAt, statesBetween, type Verdict } from "../../run/bisect.ts";
import { typedText } from "../../run/command.ts";
import { askers } from "../../scope/asker.ts";
import { workspacePath } from "../../scope/registry.ts";
import type { Found } from "../../scope/view.ts";
import { addressesIn } from "../address.ts";
import { Exit, type ExitCode } from "../errors.ts";
import { LIMIT_OPTIONS, limitsFor } from "../limits.ts";
import { settleModels } from "../operate.ts";
import { lacks, PARTIAL } from "../partial.ts";
import { formatRow, rowOf } from "../rows.ts";
import { below, chooseRun, chooseStep } from "../select.ts";
import { type Context, type Flags, text, type Verb } from "../verb.ts";
import { counted } from "../words.ts";

export const verb: Verb = {
  brief: "the first step at which a command fails",
  usage: "[RUN] [--good STEP] [--bad STEP] -- COMMAND…",
  most: 1,
  command: true,
  options: {
    good: { type: "string", value: "STEP", help: "a step at which it passes; step 0 without" },
    bad: { type: "string", value: "STEP", help: "a step at which it fails; the newest without" },
    verbose: { type: "boolean", short: "v", help: "also what the command writes, on standard error" },
    ...LIMIT_OPTIONS,
    ...PARTIAL,
  },
  details:
    "Each try is a fork of the run at a step, in which the command runs; it is removed behind that, and nothing of yours is touched. Exit code 0 of the command " +
    "means that it passes, 125 that nothing can be said of that step, any other that it fails.",
  examples: ["shepherd bisect -- npm test", "shepherd bisect fix-login --good 4 -- sh -c 'grep -q login src/app.js'"],
  run: async (context, flags, args) => {
    const { out, rest, signal } = context;
    if (!rest || rest.length === 0) throw new Exit(2, "Which command? `shepherd bisect [RUN] -- COMMAND…`");
    const store = await context.store();
    const run = await chooseRun(context, args[0]);
    const { states, addressOf } = await range(context, flags, run.name);
    const limits = await limitsFor(context, flags, run);
    const lacking = lacks(context, flags);
    const progress = out.progress();
    const at = below(await workspacePath(store, run.log), context.cwd);
    const command = typedText(rest);
    const halvings = states.length > 2 ? Math.ceil(Math.log2(states.length - 1)) : 0;
    out.say(
      `${run.name}: ${counted(states.length, "state")} from step ${numberOf(states[0]!)} to step ${numberOf(states.at(-1)!)}; about ${Math.min(states.length, 2 + halvings)} tries of \`${command}\`.`,
    );
    let probes = 0;
    let code: number | null = null;
    const probe = async (index: number): Promise<Verdict> => {
      const n = numberOf(states[index]!);
      probes++;
      progress.at(`step ${n}: ${command}`);
      const done = await probeAt(store, run.name, n, {
        argv: rest,
        at,
        signal,
        limits,
        settle: settleModels,
        onForgotten: lacking.tell,
        onProgress: (text) => progress.at(`step ${n}: ${text}`),
        onOutput: flags.verbose ? (chunk) => process.stderr.write(chunk) : undefined,
      }).finally(() => progress.done());
      const { verdict } = done;
      code = done.code;
      out.object({ scope: run.name, n, result: verdict, code, signal: done.signal });
      const how = done.signal ? ` (${done.signal})` : verdict === "fails" ? ` (exit code ${code})` : "";
      const style = verdict === "passes" ? "green" : verdict === "fails" ? "red" : "yellow";
      out.line(`  step ${String(n).padStart(3)}  ${out.style(style, verdict)}${how}`);
      return verdict;
    };
    const found = await bisect(states.length, probe);
    const told = {
      scope: run.name,
      first: null as number | null,
      before: null as number | null,
      steps: [] as number[],
      probes,
    };
    const end = (code: ExitCode, more: Partial<typeof told>, ...sentences: string[]): ExitCode => {
      out.object({ ...told, probes, ...more });
      for (const each of sentences) out.say(each);
      return lacking.code(code);
    };
    const [oldest, newest] = [numberOf(states[0]!), numberOf(states.at(-1)!)];
    switch (found.how) {
      case "passes":
        return end(
          1,
          {},
          `It passes at step ${newest}, so it fails nowhere from there on: name a step at which it fails with --bad.`,
        );
      case "fails": {
        const why = oldest > 0 ? "name an older step at which it passes with --good" : "that was so before the run";
        return end(
          1,
          {},
          `It fails at step ${oldest} already: ${code === NOT_THERE ? "the command may not be there" : why}.`,
        );
      }
      case "unknown":
        return end(
          1,
          {},
          `Nothing can be said of step ${numberOf(states[found.at]!)} (exit code 125): name another one with --good or --bad.`,
        );
      case "skipped": {
        const steps = states.slice(found.after + 1, found.last + 1).map(numberOf);
        return end(1, { steps }, `It is one of the steps ${steps.join(", ")}: between them all were skipped.`);
      }
    }
    const first = states[found.first]!.steps[0]!;
    const before = states[found.first - 1]!.steps.at(-1)!;
    const row = await rowOf(store, run.name, first.step, false);
    const ended = end(
      0,
      { first: row.n, before: before.step.n, steps: [row.n] },
      `Step ${row.n} is the first at which it fails:`,
    );
    out.line(formatRow(row, out));
    if (!out.json) {
      const asked = await askers(store)(first);
      for (const [what, by] of [["asked by", asked.model] as const, ["for", asked.user] as const])
        if (by && by.step !== first.step)
          out.say(`  ${what} ${await addressOf(by)} · ${(await rowOf(store, "", by.step, false)).summary}`, 4);
      const merged = first.step.outcome?.with && typeof first.step.witness.from === "string";
      out.say(
        `\`shepherd diff ${run.name}@${row.n}\` shows what it changed; \`shepherd fork ${run.name} ${before.step.n}\` goes on from before it, \`shepherd revert ${run.name} ${before.step.n}\` goes back there.`,
      );
      if (merged && first.step.witness.from !== "main")
        out.say(
          `What it took in came from ${first.step.witness.from}: \`shepherd bisect ${first.step.witness.from}\` looks there.`,
        );
    }
    return ended;
  },
};

/** What a shell gives for a command that it does not find. */
const NOT_THERE = 127;

const numberOf = ({ steps }: Candidate): number => steps[0]!.step.n;

async function range(
  context: Context,
  flags: Flags,
  run: string,
): Promise<{ states: Candidate[]; addressOf(found: Found): Promise<string> }> {
  const store = await context.store();
  const step = async (flag: "good" | "bad", word: string) => {
    const { revision } = await chooseStep(
      context,
      word.startsWith("@") ? [`${run}${word}`] : word.includes("@") ? [word] : [run, word],
      `shepherd bisect [RUN] --${flag} STEP`,
    );
    if (revision.view.ref!.name !== run) throw new Exit(2, `--${flag} ${word} is no step of ${run}.`);
    return revision;
  };
  const bad = await step("bad", text(flags, "bad") ?? `${run}@`);
  const word = text(flags, "good");
  const good = word === undefined ? null : await step("good", word);
  const states = await statesBetween(store, bad.view, good?.sealed.id ?? null, bad);
  if (!states)
    throw new Exit(
      2,
      `${run} did not come through step ${good!.step.n} on its way to step ${bad.step.n}: \`shepherd log ${run}\` shows its steps.`,
    );
  const addresses = await addressesIn(store);
  return { states, addressOf: async (found) => addresses.of(found) ?? `step ${found.step.n}` };
}
