/** Follows what a program does with the calls that a model asks for: see `Calls`. */
import type { LiveScope } from "../scope/scope.ts";
import { type Call, MAIN, putBytes, textOf } from "../scope/thread.ts";
import { encodeJson } from "../trace/bytes.ts";
import type { Json } from "../trace/ports.ts";
import type { Calls, CallsOptions, Ended, Own, Verdict } from "./calls.ts";
import { type Performing, performing } from "./performing.ts";
import { turnOrder } from "./turnorder.ts";

/** So long a call waits for its intent, in ms: a hook may be quicker than the end of the block that asks for it. */
const PATIENCE = 10_000;

/** So often it is looked, in ms, whether what a call waits for has ended without a word. */
const LOOK = 500;

/** Thrown for a call inside of one that was refused. */
class Denied extends Error {}

export function followCalls(scope: LiveScope, options: CallsOptions): Calls {
  const { traits, taskOf, outcome, results, broken, observed, signal } = options;
  const { writer, store } = scope;
  const byId = new Map<string, Performing>();
  const byNumber = new Map<number, Performing>();
  /** Those that have begun and have no outcome yet: few, where all that were ever asked for are many. */
  const begun = new Set<Performing>();
  const waiting = new Map<string, () => void>();
  /** Numbers of the containers of conversations. */
  const containers = new Map<string, number>();
  /** Calls that a program has made by itself, by the numbers of those that they run in; without one if that has gone on by itself. */
  const inner = new Map<number | undefined, Performing[]>();
  /** Conversations of sub-agents that did so, by their names. */
  const agents = new Map<string, string>();
  /** The conversation in which it did so last. */
  let thread: string | undefined;

  const add = (n: number, call: Call, own = false): Performing => {
    const known = performing(scope, n, call, traits(call), own, () => observed?.(n));
    byId.set(call.id, known);
    byNumber.set(n, known);
    return known;
  };

  const start = (known: Performing, input: Json): Promise<Verdict> => {
    begun.add(known);
    const verdict = known.begin(input, signal);
    const over = (): void => void begun.delete(known);
    known.pending!.settled.then(over, over);
    return verdict;
  };

  const find = async (id: string): Promise<Performing> => {
    const known = byId.get(id);
    if (known) return known;
    await new Promise<void>((resolve) => {
      waiting.set(id, resolve);
      setTimeout(resolve, PATIENCE).unref();
    });
    waiting.delete(id);
    const found = byId.get(id);
    if (!found) throw new Error(`The call ${id} was never asked for by a model that Shepherd has heard.`);
    return found;
  };

  const facts = (call: Call): { [name: string]: Json } => {
    const { shared, container, unasked, unobserved } = traits(call);
    return {
      ...(shared && { shared }),
      ...((container || unasked) && { container: true }),
      ...(unobserved && { unobserved }),
    };
  };

  /**
   * The call in which an agent makes calls of its own now: of those that its model asked for at once, the first without a result. Which conversation
   * is that of a sub-agent nobody says, so the first that is nobody's counts as its own.
   */
  const scriptNow = (by: string | undefined): Performing | undefined => {
    const its = by === undefined ? MAIN : agents.get(by);
    const taken = new Set<string | undefined>([MAIN, ...agents.values()]);
    const open = [...byNumber.values()].filter(
      (each) => each.traits.script && !each.over && (its === undefined ? !taken.has(each.thread) : each.thread === its),
    );
    const ended = open.length > 1 ? results?.() : undefined;
    const found = open.find(({ call }) => !ended?.has(call.id)) ?? open.at(-1);
    if (by !== undefined && found?.thread !== undefined) agents.set(by, found.thread);
    return found;
  };

  /** Writes the intent of a call that no model asked for. */
  const enter = async (id: string, { name, by }: Own, input: Json): Promise<Performing> => {
    const around = scriptNow(by);
    const verdict = await around?.verdict;
    if (verdict?.kind === "deny") throw new Denied(verdict.reason);
    const call: Call = { type: "call", id, name, input };
    const what = await putBytes(store, encodeJson(call));
    if (around) thread = around.thread;
    const n = await writer.intent(
      { kind: "tool", tier: "reversible", ...(thread !== undefined && { thread }), what, ...facts(call) },
      around ? { links: { inside: around.n } } : {},
    );
    const known = add(n, call, true);
    inner.set(around?.n, [...(inner.get(around?.n) ?? []), known]);
    return known;
  };

  /** Ends what has ended without a word, as far as the program has noted that down, and what it does not wait for any more. */
  const look = (): void => {
    const ended = results?.();
    for (const each of begun)
      if (each.running && (ended?.has(each.call.id) || each.late)) void each.end({ status: "done" });
  };

  /** Ends those beside which nothing is performed, before another one of their conversation. Those that went well said so. */
  const endAlone = ({ n, thread }: Performing): void => {
    for (const each of begun)
      if (each.n !== n && each.traits.alone && each.running && each.thread === thread)
        void each.end({ status: each.own ? "failed" : "done" });
  };

  const order = turnOrder(byNumber, results, signal);

  const close = async (known: Performing, status: Ended | "not-run", more: object): Promise<void> => {
    known.over = true;
    known.tell({ status: status === "not-run" ? "aborted" : status, ...more });
    await known.pending?.settled.catch(async (error: unknown) => {
      if (!signal.aborted && !known.left) throw error;
      await writer.outcome(
        known.n,
        { status: "aborted", ...known.outside(), ...more },
        { witness: { at: Date.now() } },
      );
    });
  };

  const closeInner = async (of: Array<number | undefined>, status: "failed" | "aborted"): Promise<void> => {
    for (const each of of.flatMap((n) => inner.get(n) ?? [])) if (!each.over) await close(each, status, {});
    for (const n of of) inner.delete(n);
  };

  return {
    facts,
    insideOf: (request, thread) => {
      const at = containers.get(thread.name);
      if (at !== undefined || thread.entries.length > 0 || !taskOf) return at;
      const first = request.messages.find(({ role }) => role === "user");
      const said = first ? textOf(first) : "";
      const taken = new Set(containers.values());
      const its = [...byNumber.values()].filter(({ n, call }) => {
        const task = taken.has(n) ? null : taskOf(call);
        return task !== null && task !== "" && said.includes(task);
      });
      // A sub-agent in the background may ask for the first time when the call that started it has ended.
      const around = its.find(({ over }) => !over) ?? its.at(-1);
      if (around) containers.set(thread.name, around.n);
      return around?.n;
    },
    asked: (n, call) => {
      const known = add(n, call);
      waiting.get(call.id)?.();
      if (!known.traits.unasked) return;
      start(known, call.input as Json).then(
        (verdict) => {
          // What a script does it asks for, and is refused.
          if (verdict.kind === "deny" && !known.traits.script)
            broken(`Step ${n} was refused (${verdict.reason}), and its program does not ask before it performs that.`);
        },
        () => {},
      );
    },
    begin: async (id, input, own) => {
      let known: Performing;
      try {
        known = own === undefined ? await find(id) : await enter(id, own, input);
      } catch (error) {
        if (error instanceof Denied) return { kind: "deny", reason: error.message };
        throw error;
      }
      if (known.pending || known.over) throw new Error(`The call ${id} has begun before.`);
      signal.throwIfAborted();
      endAlone(known);
      await order.comes(known);
      const looking = setInterval(look, LOOK);
      looking.unref();
      const verdict = start(known, input);
      order.began();
      return verdict.finally(() => clearInterval(looking));
    },
    end: async (id, status, { input, output } = {}) => {
      const known = await find(id);
      // It went on in the background, and the model was told so.
      if (known.over) return;
      if (!known.allows(input)) {
        const why = `The program has not kept to what it was told of step ${known.n}.`;
        broken(why);
        throw new Error(why);
      }
      known.over = known.own;
      const result = known.own && output ? { result: await putBytes(store, Buffer.from(output.toWellFormed())) } : {};
      await known.end({ status, ...result });
    },
    told: async (n, status, append, result) => {
      const known = byNumber.get(n);
      const { thread: of } = writer.fold.steps.get(n)!.intent;
      const threads = append.length > 0 && of !== undefined && { threads: { [of]: { append } } };
      const said = result && status === "done" ? (outcome?.(result) ?? "done") : status;
      const how = said === "goes on" ? "done" : said;
      if (known?.traits.unasked) await known.verdict?.catch(() => {});
      if (said === "goes on") {
        inner.set(undefined, [...(inner.get(undefined) ?? []), ...(inner.get(n) ?? [])]);
        inner.delete(n);
      } else if (known?.traits.script)
        await closeInner([n, undefined], how === "done" || how === "failed" ? "failed" : "aborted");
      if (known?.pending) return close(known, how, { ...threads });
      if (known) known.over = true;
      // The program has answered it itself, or was stopped before.
      const ended = how === "aborted" ? how : "not-run";
      await writer.outcome(n, { status: ended, ...threads }, { witness: { at: Date.now() } });
    },
    running: () => {
      const now = [...begun].filter(({ running }) => running);
      const calls = now.filter(({ traits: { container } }) => !container);
      return (calls.length > 0 ? calls : now).map(({ n }) => n).sort((a, b) => a - b);
    },
    close: () => closeInner([...inner.keys()], "aborted"),
  };
}
