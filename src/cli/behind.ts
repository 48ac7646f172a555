/** What runs behind the gateway: programs that were led to it, or a command in a scope. */
import { type Again, againOf, beginAgain, wasSetBack } from "../gateway/again.ts";
import { recordedFor } from "../gateway/answers.ts";
import { DUMMY } from "../gateway/credentials.ts";
import type { Gateway, Urls } from "../gateway/gateway.ts";
import { PORT } from "../plugins/worker.ts";
import { performCommand } from "../run/command.ts";
import type { Worker } from "../run/drive.ts";
import { recordWork } from "../run/work.ts";
import type { LiveScope } from "../scope/scope.ts";
import { getBytes } from "../scope/thread.ts";
import type { Step } from "../trace/seal.ts";
import type { Context } from "./verb.ts";
import { counted } from "./words.ts";

export const programsBehind = (gateway: Gateway): Worker => ({
  name: "gateway",
  work: async (scope, signal, _restarted, { unpaused }) => {
    await gateway.serve(scope, signal, { hold: unpaused });
    return "done";
  },
});

export interface Command {
  argv: readonly string[];
  /** Where it starts, relative to the workspace. */
  at?: string | undefined;
}

export interface BehindOptions extends Pick<Context, "out"> {
  /** Whether it has the terminal for itself. */
  quiet: boolean;
  /** Whether it is driven: from where it began, with the answers on record. So it is in any case where it was set back while it ran. */
  drive: boolean;
}

/** A command whose calls are steps inside of its own, and whose files are looked at before each. */
export const commandBehind = (gateway: Gateway, given: Command, { out, quiet, drive }: BehindOptions): Worker => ({
  name: "gateway",
  work: async (scope, signal, restarted, { unpaused }) => {
    const known = drive || restarted ? await againOf(scope) : null;
    const again = restarted && known && !wasSetBack(known) ? null : known;
    if (again) await driveFrom(scope, again, out);
    const { argv, at } = again?.command ? await commandIn(scope, again.command) : given;
    const { listener } = await scope.files!.sandbox();
    const urls: Urls = listener ? gateway.accept(listener, PORT) : gateway.urls;
    const over = new AbortController();
    const inside = (): number | undefined =>
      scope.writer.fold.pending().find(({ intent, outcome }) => intent.kind === "command" && !outcome)?.n;
    const stop = AbortSignal.any([signal, over.signal]);
    const serving = gateway.serve(scope, stop, {
      inside,
      hold: unpaused,
      before: () => recordWork(scope, inside()),
      ...(again && { recorded: recordedFor(scope.store, again.answers) }),
    });
    // Where it cannot record nothing runs; the error is thrown below.
    serving.catch(() => over.abort());
    try {
      const done = await performCommand(scope, argv, stop, {
        at,
        gateway: true,
        env: {
          ANTHROPIC_BASE_URL: urls.anthropic,
          OPENAI_BASE_URL: urls.openai,
          ANTHROPIC_API_KEY: DUMMY,
          OPENAI_API_KEY: DUMMY,
        },
        interactive: quiet,
        ownStdin: process.stdin.isTTY !== true,
        onOutput: (chunk, stream) => {
          if (!out.json) process[stream].write(chunk);
        },
      });
      return done.ending;
    } catch (error) {
      if (signal.aborted) return "aborted";
      throw error;
    } finally {
      over.abort();
      await serving;
    }
  },
});

async function driveFrom(scope: LiveScope, again: Again, out: Context["out"]): Promise<void> {
  const { name } = scope.ref;
  await beginAgain(scope, again);
  const { start, answers, lost } = again;
  out.warn(
    `shepherd: ${name} is driven from step ${start.step.n}, with ${counted(answers.length, "answer")} on record; what else it asks goes to its provider.`,
  );
  for (const { step } of lost)
    out.warn(
      `shepherd: What step ${step.n} (${step.intent.kind}) brought is not there; it stays in the log of ${name}.`,
    );
}

async function commandIn({ store }: LiveScope, { intent }: Step): Promise<Command> {
  return JSON.parse((await getBytes(store, intent.what!)).toString()) as Command;
}
