/** What an agent's hooks ask and tell, as calls of its scope. */
import type { Calls, Verdict } from "../gateway/calls.ts";
import type { Around, HookAnswer } from "../gateway/session.ts";
import { within } from "./deadline.ts";
import type { Plugin } from "./plugin.ts";

type Asking = Pick<Required<Around>, "hook" | "outgoing" | "compacts">;

const NOTHING: HookAnswer = { say: {} };

interface AskingOptions {
  /** Called with a sentence where calls may run that nobody has allowed. */
  broken(why: string): void;
  /** Resolves when the run is not paused. */
  unpaused(): Promise<void>;
}

/** Before the agent would go on without an answer. */
const LATE: Verdict = { kind: "deny", reason: "nobody has answered" };

export function asking(plugin: Plugin, calls: Calls, { broken, unpaused }: AskingOptions): Asking {
  let heard = false;
  return {
    compacts: (request) => plugin.compacts?.(request) ?? false,
    outgoing: (body) => {
      if (!heard && !plugin.summarizes?.(body)) {
        const why = `No hook of ${plugin.command} was heard before it asked a model, so what it does could not be recorded. Does a policy of this machine forbid hooks of users?`;
        broken(why);
        throw new Error(why);
      }
      return plugin.outgoing(body);
    },
    hook: async (event, asks): Promise<HookAnswer> => {
      heard = true;
      const said = plugin.hook.decode(event);
      if (said.kind === "other") return NOTHING;
      if (said.kind === "after") {
        await calls.end(said.call, said.status, said);
        // Here it waits as long as it takes; a request that is held back it would give up. What it is told meanwhile is in the next one.
        await unpaused();
        return NOTHING;
      }
      // Agents take a hook that was killed for none, and go on.
      const gone = (): void => broken(`A hook of ${plugin.command} ended before it had its answer.`);
      asks.addEventListener("abort", gone);
      const begun = calls.begin(said.call, said.input, said.own ? { name: said.name, by: said.by } : undefined);
      const verdict = await within(plugin.hook.waits * 0.9, begun, LATE).finally(() =>
        asks.removeEventListener("abort", gone),
      );
      if (verdict.kind === "allow") return { say: plugin.hook.allow(verdict.input) };
      return plugin.hook.deny ? { say: plugin.hook.deny(verdict.reason) } : { stop: verdict.reason };
    },
  };
}
