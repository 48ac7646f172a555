/**
 * The calls of a program that tells before it performs one and after: by hooks. The gateway has written the intent by then. Between the two
 * the call goes through the scope's handlers and its lock like any other; its outcome is written once the model is told what came of it.
 */
import type { Performed } from "../scope/effect.ts";
import type { LiveScope, Pending } from "../scope/scope.ts";
import type { Call } from "../scope/thread.ts";
import type { Tier } from "../trace/frame.ts";
import type { Json, Link } from "../trace/ports.ts";
import type { Canonical } from "./protocol.ts";
import type { Thread } from "./threads.ts";

/** What a tool is to the scope. */
export interface ToolTraits {
  /** It reads, and changes nothing. */
  shared?: boolean;
  /** Calls of its own run inside: a sub-agent. */
  container?: boolean;
  /** What it does outside is not seen. */
  unobserved?: boolean;
}

/** What a program is told before it performs a call. */
export type Verdict = { kind: "allow"; input?: Json } | { kind: "deny"; reason: string };

export interface Calls {
  traits(call: Call): ToolTraits;
  /** The container that a request runs in. */
  insideOf(request: Canonical, thread: Thread): number | undefined;
  /** The intent of a call is written. */
  asked(n: number, call: Call): void;
  /**
   * A program is about to perform a call: it may when this resolves so, and holds the scope's lock from then on. Rejects for a call of which no
   * intent was written.
   */
  begin(id: string, input: Json): Promise<Verdict>;
  /** It has ended; at return its files are captured. */
  end(id: string, status: "done" | "failed" | "aborted"): Promise<void>;
  /** The model is told what came of it. The outcome is written at return. */
  told(n: number, status: "done" | "failed" | "aborted" | "not-run", append: Link[]): Promise<void>;
  /** Numbers of those that are being performed: containers only where nothing runs in any. */
  running(): number[];
}

interface Known {
  n: number;
  call: Call;
  pending: Pending | null;
  /** Aborts while it waits for the lock or for a word. */
  stop: AbortController;
  started: boolean;
  /** What was observed of it until it ended. */
  tier?: Tier | undefined;
  /** Says how it ended. */
  ended: (status: "done" | "failed" | "aborted") => void;
  /** Says what the model is told. */
  told: (performed: Performed) => void;
  captured: Promise<void>;
  over: boolean;
}

export interface CallsOptions {
  traits: (call: Call) => ToolTraits;
  /** The task of a sub-agent, in the words in which its first message tells it. */
  taskOf?: (call: Call) => string | null;
  /** The highest tier of what a call did outside. Asked when it has ended. */
  observed?: (n: number) => Tier | undefined;
  signal: AbortSignal;
}

/** So long a call waits for its intent, in ms: a hook may be quicker than the end of the block that asks for it. */
const PATIENCE = 10_000;

export function followCalls(scope: LiveScope, { traits, taskOf, observed, signal }: CallsOptions): Calls {
  const { writer } = scope;
  const byId = new Map<string, Known>();
  const byNumber = new Map<number, Known>();
  const waiting = new Map<string, () => void>();
  const containers = new Map<string, number>();
  /** Those that are being performed. */
  const performing = new Set<Known>();

  const find = async (id: string): Promise<Known> => {
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

  /** What it is known to have done outside; nothing belongs to it that comes later. */
  const finish = (known: Known): { tier?: Tier } => {
    if (performing.delete(known)) known.tier = observed?.(known.n);
    return known.tier ? { tier: known.tier } : {};
  };

  const perform = (known: Known, input: Json): Promise<Verdict> =>
    new Promise((resolve, reject) => {
      const { n, call } = known;
      const { shared, container } = traits(call);
      let captured = (): void => {};
      known.captured = new Promise((done) => {
        captured = done;
      });
      const told = new Promise<Performed>((done) => {
        known.told = done;
      });
      const step = writer.fold.steps.get(n)!;
      known.pending = scope.again(
        n,
        {
          intent: step.intent,
          name: call.name,
          input,
          lock: container ? "none" : shared ? "shared" : "exclusive",
          run: ({ input: now }) => {
            known.started = true;
            // The program went on while the call was still about to begin, so it is not performed.
            if (known.stop.signal.aborted) return Promise.resolve({ status: "aborted" });
            performing.add(known);
            resolve({ kind: "allow", ...(now !== input && { input: now }) });
            return new Promise((done) => {
              known.ended = (status) => done({ status, ...finish(known) });
            });
          },
          told: (ended) => {
            captured();
            return told.then((said) => ({
              ...ended,
              ...said,
              status: said.status === "done" ? ended.status : said.status,
            }));
          },
          refused: (reason) => {
            resolve({ kind: "deny", reason });
            return told;
          },
        },
        AbortSignal.any([signal, known.stop.signal]),
      );
      known.pending.settled
        .then(
          () => resolve({ kind: "deny", reason: "it was answered in place of the tool" }),
          (error: Error) => reject(error),
        )
        .finally(captured);
    });

  return {
    traits,
    insideOf: (request, thread) => {
      const at = containers.get(thread.name);
      if (at !== undefined || thread.entries.length > 0 || !taskOf) return at;
      const first = request.messages.find(({ role }) => role === "user");
      const said = first?.content.map((block) => (block.type === "text" ? block.text : "")).join("\n") ?? "";
      const taken = new Set(containers.values());
      for (const { n, call, over } of byNumber.values()) {
        const task = over || taken.has(n) ? null : taskOf(call);
        if (!task || !said.includes(task)) continue;
        containers.set(thread.name, n);
        return n;
      }
      return undefined;
    },
    asked: (n, call) => {
      const known: Known = {
        n,
        call,
        pending: null,
        stop: new AbortController(),
        started: false,
        ended: () => {},
        told: () => {},
        captured: Promise.resolve(),
        over: false,
      };
      byId.set(call.id, known);
      byNumber.set(n, known);
      waiting.get(call.id)?.();
    },
    begin: async (id, input) => {
      const known = await find(id);
      if (known.pending || known.over) throw new Error(`The call ${id} has begun before.`);
      signal.throwIfAborted();
      return perform(known, input);
    },
    end: async (id, status) => {
      const known = await find(id);
      known.ended(status);
      await known.captured;
    },
    told: async (n, status, append) => {
      const known = byNumber.get(n);
      const { thread } = writer.fold.steps.get(n)!.intent;
      const threads = append.length > 0 && thread !== undefined && { threads: { [thread]: { append } } };
      if (known) known.over = true;
      if (!known?.pending) {
        // The program has answered it itself, or was stopped before.
        const ended = status === "aborted" ? status : "not-run";
        await writer.outcome(n, { status: ended, ...threads }, { witness: { at: Date.now() } });
        return;
      }
      // Where the program did not wait for the word, nothing was performed.
      if (!known.started) known.stop.abort(new Error("the program went on without an answer"));
      known.ended(status === "not-run" ? "aborted" : status);
      known.told({ status: status === "not-run" ? "aborted" : status, ...threads });
      await known.pending.settled.catch(async (error: unknown) => {
        if (!signal.aborted && !known.stop.signal.aborted) throw error;
        const facts = { status: "aborted" as const, ...(known.started && finish(known)), ...threads };
        await writer.outcome(n, facts, { witness: { at: Date.now() } });
      });
    },
    running: () => {
      const now = [...performing];
      const calls = now.filter(({ call }) => !traits(call).container);
      return (calls.length > 0 ? calls : now).map(({ n }) => n);
    },
  };
}
