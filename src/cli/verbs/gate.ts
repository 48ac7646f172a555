/** `shepherd gate`: be asked before each call of a run. */

import { NoOwner } from "../../run/connect.ts";
import type { GateEvent } from "../../run/gate.ts";
import { endOf } from "../../run/lifecycle.ts";
import { parsePattern } from "../../run/pattern.ts";
import { gateName } from "../../scope/guards.ts";
import { readLog } from "../../scope/view.ts";
import type { Json } from "../../trace/ports.ts";
import { Exit } from "../errors.ts";
import { keepGate, tellDecided } from "../gatekeeper.ts";
import { chooseLive, connectTo, me, requireControl } from "../owner.ts";
import { count, list, text, type Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "be asked before each call of a run",
  usage: "[RUN] [--as NAME] [--allow PATTERN]… [--deny PATTERN]…",
  most: 1,
  options: {
    allow: { type: "string", multiple: true, value: "PATTERN", help: "calls that pass without a question" },
    deny: { type: "string", multiple: true, value: "PATTERN", help: "calls that do not pass; counts before --allow" },
    as: { type: "string", value: "NAME", help: "the name by which this gate is known when it comes back" },
    timeout: { type: "string", value: "S", help: "seconds that a question waits for an answer" },
  },
  details:
    "Asks here before each call that is not read-only: yes, no (with a reason for the agent), edit what is done, or always. A pattern is a tool, or a tool and " +
    "what it is called with: `read`, `Bash(npm test*)`, `Write(src/**)`. Without a terminal, and with --json, patterns decide alone, and what fits none is " +
    "denied. Of several gates all must let a call pass. Without an answer in time, and once this ends, the run goes on as without a gate, or as " +
    "`run --guard` has declared. What a gate with a name has decided is kept: it is told when it comes back, and is not asked again.",
  examples: [
    "shepherd gate",
    "shepherd gate fix --as anna",
    "shepherd gate fix --allow 'Bash(npm test*)' --deny 'Bash(git push*)'",
  ],
  run: async (context, flags, args) => {
    const { out, signal } = context;
    const patterns = { allow: list(flags, "allow"), deny: list(flags, "deny") };
    for (const each of [...patterns.allow, ...patterns.deny]) check(each);
    const seconds = count(flags, "timeout", 1);
    const as = text(flags, "as");
    if (as !== undefined) checkName(as);
    const run = await chooseLive(context, args[0]);
    await requireControl(context, run, "gate");
    const asks = !out.json && process.stdin.isTTY === true && process.stderr.isTTY === true;
    const owner = await connectTo(context, run);
    const stop = (): void => owner.close();
    signal.addEventListener("abort", stop, { once: true });
    const keeper = keepGate(context, run.name, (id, answer) => owner.request("answer", { id, answer: answer as Json }));
    const heard = (event: GateEvent): void => {
      if (event.type === "decided") tellDecided(out, run.name, event);
      else if (event.type === "ask") keeper.ask(event);
      else if (event.type === "withdrawn") keeper.withdraw(event.id);
      else {
        const waits = event.waiting.length > 0 && as !== undefined ? ` Step ${event.waiting.join(", ")} waits.` : "";
        const does = asks ? "Asks here" : "Decides by patterns";
        out.warn(`shepherd: ${does} before calls of ${run.name}, until Ctrl-C.${waits}`);
      }
    };
    try {
      await Promise.race([
        owner.request(
          "gate",
          {
            ...patterns,
            asks,
            by: me(),
            ...(as !== undefined && { as }),
            ...(seconds !== undefined && { timeoutMs: seconds * 1000 }),
          },
          (event) => heard(event as unknown as GateEvent),
        ),
        keeper.left,
      ]);
    } catch (error) {
      if (!(error instanceof NoOwner) || signal.aborted) {
        if (signal.aborted) return undefined;
        throw error;
      }
      const store = await context.store();
      out.say(`${run.name} has ended (${endOf(await readLog(store, run.log, run))}).`);
    } finally {
      signal.removeEventListener("abort", stop);
      keeper.close();
      owner.close();
    }
    return undefined;
  },
};

const check = (pattern: string): void => orUsage(() => parsePattern(pattern));
const checkName = (name: string): void => orUsage(() => gateName(name));

function orUsage(checks: () => void): void {
  try {
    checks();
  } catch (error) {
    throw new Exit(2, (error as Error).message);
  }
}
