/** `shepherd shell`: a shell in a scope, each command a step. */
import { createInterface } from "node:readline";
import { withDriven } from "../../run/driven.ts";
import { openShell } from "../../run/shell.ts";
import { followLive, landOf } from "../landing.ts";
import { LIMIT_OPTIONS, limitsFor } from "../limits.ts";
import { noticesOf } from "../notices.ts";
import { settleModels } from "../operate.ts";
import { lacks, PARTIAL } from "../partial.ts";
import { chooseRun } from "../select.ts";
import { choice, type Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "a shell in a scope, each command a step",
  usage: "[RUN]",
  goesOn: true,
  most: 1,
  options: {
    land: {
      type: "string",
      value: "HOW",
      help: "never, or live: what a command changes lands in your directory at once",
    },
    ...LIMIT_OPTIONS,
    ...PARTIAL,
  },
  details:
    "Reads commands line by line; each becomes a step with what it changed. Directory, exported variables, functions and options are kept " +
    "from one to the next. End with `exit` or Ctrl-D. Ctrl-C stops the command that runs.",
  run: async (context, flags, args) => {
    const { out } = context;
    const store = await context.store();
    const run = await chooseRun(context, args[0], { destructive: true });
    const limits = await limitsFor(context, flags, run);
    const word = choice(flags, "land", ["never", "live"]) ?? "never";
    const land = await landOf(context, word, { workspace: run.workspace, count: 1, run: run.name });
    const lacking = lacks(context, flags);
    const options = { signal: context.signal, settle: settleModels, limits, onForgotten: lacking.tell };
    return withDriven(store, run.name, options, async (scope) => {
      scope.writer.watch(noticesOf(out, run.name));
      const live = await followLive({ store, out, land }, scope);
      const shell = await openShell(scope);
      const interactive = process.stdin.isTTY === true;
      const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: interactive });
      const prompt = (): void => {
        if (!interactive) return;
        lines.setPrompt(`${run.name}:${shell.cwd()}$ `);
        lines.prompt();
      };
      let current: AbortController | null = null;
      lines.on("SIGINT", () =>
        current ? current.abort(new DOMException("Stopped by the user.", "AbortError")) : prompt(),
      );
      // Through a pipe nobody but the process gets a Ctrl-C: it ends the shell.
      const stop = (): void => {
        current?.abort(context.signal.reason);
        lines.close();
      };
      context.signal.addEventListener("abort", stop, { once: true });
      let last = 0;
      let left = false;
      prompt();
      for await (const line of lines) {
        if (context.signal.aborted) break;
        if (/^\s*exit\s*$/.test(line)) {
          left = true;
          break;
        }
        if (line.trim() !== "") {
          current = new AbortController();
          const done = await shell.run(line, current.signal, (chunk) => {
            if (!out.json) process.stdout.write(chunk);
          });
          current = null;
          last = done.code ?? 1;
          out.object({ scope: run.name, n: done.n, code: done.code, command: line });
        }
        prompt();
      }
      lines.close();
      await live.end();
      // Behind the prompt at which Ctrl-D was typed.
      if (interactive && !left) process.stderr.write("\n");
      return lacking.code(last === 0 && !context.signal.aborted ? 0 : 1);
    });
  },
};
