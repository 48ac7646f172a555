/** What an agent's hooks ask and tell, as calls of its scope. */
import type { Calls } from "../gateway/calls.ts";
import type { Around, HookAnswer } from "../gateway/session.ts";
import type { Plugin } from "./plugin.ts";

type Asking = Pick<Required<Around>, "hook" | "outgoing">;

const NOTHING: HookAnswer = { say: {} };

/** @param broken called with a sentence where calls may run that nobody has allowed */
export function asking(plugin: Plugin, calls: Calls, broken: (why: string) => void): Asking {
  let heard = false;
  return {
    outgoing: (body) => {
      if (!heard) {
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
        return NOTHING;
      }
      // Agents take a hook that was killed for none, and go on.
      const gone = (): void => broken(`A hook of ${plugin.command} ended before it had its answer.`);
      asks.addEventListener("abort", gone);
      const verdict = await calls
        .begin(said.call, said.input, said.own ? { name: said.name, by: said.by } : undefined)
        .finally(() => asks.removeEventListener("abort", gone));
      if (verdict.kind === "allow") return { say: plugin.hook.allow(verdict.input) };
      return plugin.hook.deny ? { say: plugin.hook.deny(verdict.reason) } : { stop: verdict.reason };
    },
  };
}
