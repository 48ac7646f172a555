/** What runs behind the gateway: programs that were led to it, or a command in a scope. */
import { DUMMY } from "../gateway/credentials.ts";
import type { Gateway, Urls } from "../gateway/gateway.ts";
import { PORT } from "../plugins/worker.ts";
import { performCommand } from "../run/command.ts";
import type { Worker } from "../run/drive.ts";
import { recordWork } from "../run/work.ts";
import type { Context } from "./verb.ts";

export const programsBehind = (gateway: Gateway): Worker => ({
  name: "gateway",
  work: async (scope, signal, _restarted, { unpaused }) => {
    await gateway.serve(scope, signal, { hold: unpaused });
    return "done";
  },
});

/** A command whose calls are steps inside of its own, and whose files are looked at before each. */
export const commandBehind = (
  gateway: Gateway,
  argv: string[],
  at: string,
  { out, quiet }: Pick<Context, "out"> & { quiet: boolean },
): Worker => ({
  name: "gateway",
  work: async (scope, signal, _restarted, { unpaused }) => {
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
    });
    // Where it cannot record nothing runs; the error is thrown below.
    serving.catch(() => over.abort());
    try {
      const done = await performCommand(scope, argv, stop, {
        at,
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
