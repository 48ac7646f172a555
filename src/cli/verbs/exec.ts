/** `shepherd exec`: one command in a scope, as a step. */
import { performCommand } from "../../run/command.ts";
import { withDriven } from "../../run/driven.ts";
import { workspacePath } from "../../scope/registry.ts";
import { Exit } from "../errors.ts";
import { LIMIT_OPTIONS, limitsFor } from "../limits.ts";
import { noticesOf } from "../notices.ts";
import { settleModels } from "../operate.ts";
import { lacks, PARTIAL } from "../partial.ts";
import { below, chooseRun } from "../select.ts";
import type { Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "one command in a scope, as a step",
  usage: "[RUN] -- COMMAND…",
  goesOn: true,
  most: 1,
  command: true,
  options: { ...LIMIT_OPTIONS, ...PARTIAL },
  details:
    "Runs on the files of the run's newest step, and records what it changed. The exit code is 0 or 1; --json has the command's own.",
  examples: ["shepherd exec fix-login -- npm test"],
  run: async (context, flags, args) => {
    const { out, rest, signal } = context;
    if (!rest || rest.length === 0) throw new Exit(2, "Which command? `shepherd exec [RUN] -- COMMAND…`");
    const store = await context.store();
    const run = await chooseRun(context, args[0], { destructive: true });
    const limits = await limitsFor(context, flags, run);
    const progress = out.progress();
    const lacking = lacks(context, flags);
    return withDriven(
      store,
      run.name,
      {
        signal,
        settle: settleModels,
        limits,
        onProgress: (text) => progress.at(text),
        onForgotten: lacking.tell,
      },
      async (scope) => {
        progress.done();
        scope.writer.watch(noticesOf(out, run.name));
        const done = await performCommand(scope, rest, signal, {
          at: below(await workspacePath(store, run.log), context.cwd),
          ownStdin: process.stdin.isTTY !== true,
          onOutput: (chunk, stream) => {
            if (!out.json) process[stream].write(chunk);
          },
        });
        out.object({ scope: run.name, n: done.n, code: done.code, signal: done.signal, status: done.ending });
        return lacking.code(done.ending === "done" ? 0 : 1);
      },
    );
  },
};
