/** What the gateway writes into a scope while it is driven: which thread a request continues, and its step. */
import type { LiveScope } from "../scope/scope.ts";
import { type Item, MAIN, putItems } from "../scope/thread.ts";
import type { Json, Link } from "../trace/ports.ts";
import { serial } from "../trace/serial.ts";
import type { Calls } from "./calls.ts";
import { compactThread } from "./compact.ts";
import type { Egress } from "./egress/egress.ts";
import { endCall, hear } from "./hear.ts";
import { askAgain, onRecord } from "./onrecord.ts";
import type { Price } from "./prices.ts";
import type { Canonical, Members } from "./protocol.ts";
import { type Asked, putAsked, recordRequest } from "./request.ts";
import { continued, freeThread, knownIn, loadThreads, newThread, putSent, type Sent, type Thread } from "./threads.ts";
import { beginTurn, type Turn } from "./turn.ts";

export interface Session {
  readonly scope: LiveScope;
  /** Writes the step of a request; at return it may leave. Throws `Refused` where a handler does not let it. `signal`: nobody waits for it any more. */
  ask(request: Canonical, price: Price | null, signal: AbortSignal): Promise<Turn>;
  /** The answer on record to a request, whose calls are asked for once more at return; null if the provider is to be asked. */
  onRecord(request: Canonical): Promise<Buffer | null>;
  /** Remembers under which name the provider keeps the conversation that ends with an answer. */
  named(id: string, turn: Turn): void;
  /** Ends all that is open: nobody waits for it any more. */
  close(): Promise<void>;
}

/** How long a request waits for the end of the answer that it already tells, in ms. */
const PATIENCE = 2000;

/** Where the programs run whose calls are recorded. */
export interface Around {
  /** Number of the step that a request runs in. */
  inside?(request: Canonical, thread: Thread): number | undefined;
  /** Resolves when a request may be written down and leave; rejects once `signal` aborts. */
  hold?(signal: AbortSignal): Promise<void>;
  /** Called before a request is written down, one at a time. */
  before?(): Promise<void>;
  /** The answer on record to a request of a thread; null if it is to be sent. */
  recorded?(what: Link, thread: string): Promise<Buffer | null>;
  /** For a message that tells what somebody has injected: what stands beside its step; null for all others. */
  injected?(item: Item, inside: number | undefined): { [key: string]: Json } | null;
  /** Where it can be seen how they perform the calls that a model asks for. */
  calls?: Calls;
  /** Whether a request that continues no conversation goes on with the main one, of which it tells a summary. */
  compacts?(request: Canonical): boolean;
  /** A request as it is to be recorded, and to leave. */
  outgoing?(body: Buffer): Buffer;
  /** Called with what a hook tells; what it gives is the hook's answer. Rejects if the hook must not go on. */
  hook?(event: Members, signal: AbortSignal): Promise<HookAnswer>;
  /** What they may reach outside; nothing without it. */
  egress?: Egress;
}

/** What a hook prints; or why it is to stop what it was asked for: by its exit code, with the reason on its standard error. */
export type HookAnswer = { say: Json } | { stop: string };

export async function openSession(scope: LiveScope, around: Around = {}): Promise<Session> {
  const threads = await loadThreads(scope);
  const byAnswer = new Map<string, { thread: Thread; length: number }>();
  const ofTurn = new WeakMap<Turn, Thread>();

  /** What a request tells in all, where it only tells what came behind an answer that it names. */
  const previous = (request: Canonical): { thread: Thread; length: number } | undefined => {
    const id = request.params.previous_response_id;
    const found = typeof id === "string" ? byAnswer.get(id) : undefined;
    return found && found.thread.entries.length === found.length ? found : undefined;
  };

  /** The thread of a request, and its messages as that has them. */
  const find = async (request: Canonical, sent: readonly Sent[], asked: Asked): Promise<[Thread, readonly Sent[]]> => {
    for (let tries = 0; ; tries++) {
      const before = previous(request)?.thread;
      const found = before
        ? { thread: before, sent: [...before.entries.map(asTold), ...sent] }
        : await continued(scope.store, threads.values(), sent, asked);
      const turn = found?.thread.turn;
      if (found && !turn?.active) return [found.thread, found.sent];
      const tells =
        found?.sent[found.thread.entries.length]?.item.role === "assistant" && turn && turn.blocks.length > 0;
      if (tells && tries === 0) {
        await Promise.race([turn.settled, new Promise((resolve) => setTimeout(resolve, PATIENCE).unref())]);
        continue;
      }
      const main = threads.get(MAIN);
      if (main && main.entries.length > 0 && !main.turn?.active && around.compacts?.(request)) {
        await compactThread(scope, main);
        return [main, sent];
      }
      const fresh = newThread(freeThread(threads));
      threads.set(fresh.name, fresh);
      return [fresh, sent];
    }
  };

  /** What requests are made of, stored: of one it is asked first whether its answer is on record, and then for its turn. */
  const parts = new WeakMap<Canonical, Parts>();
  const stored = async (request: Canonical): Promise<Parts> => {
    const before = parts.get(request);
    if (before) return before;
    const sent: Sent[] = [];
    const known = knownIn(threads.values());
    for (const item of request.messages) sent.push(await putSent(scope.store, item, known));
    const made: Parts = { sent, asked: await putAsked(scope.store, request) };
    parts.set(request, made);
    return made;
  };

  const place = async (request: Canonical, price: Price | null): Promise<{ turn: Turn; ready: Promise<void> }> => {
    await around.before?.();
    const { sent, asked } = await stored(request);
    const [thread, told] = await find(request, sent, asked);
    const inside = around.inside?.(request, thread);
    const same = thread.entries.length === told.length && thread.asked?.system === asked.system;
    /** As it is, or will be once the first step of the run is sealed. */
    const head = async (): Promise<Link | null> => {
      const { state } = scope.head();
      if (state) return state.threads[thread.name]?.items ?? null;
      return putItems(
        scope.store,
        thread.entries.map(({ link }) => link),
      );
    };
    const { turn: waiting } = thread;
    if (!same) await waiting?.giveUp();
    const { calls, injected } = around;
    await hear({ scope, thread, inside, calls, injected }, told);
    const what = await recordRequest(scope.store, request, asked, await head(), thread.edits);
    if (waiting && thread.turn === waiting && !waiting.active) {
      if (waiting.what === what && (await waiting.again())) return { turn: waiting, ready: Promise.resolve() };
      await waiting.giveUp();
    }
    thread.asked = asked;
    const recorded = (await around.recorded?.(what, thread.name)) ?? null;
    const begun = await beginTurn({ scope, thread, request, what, price, recorded, inside, calls });
    ofTurn.set(begun.turn, thread);
    return begun;
  };

  // Requests that come at once are written down one after the other.
  const inTurn = serial();

  return {
    scope,
    ask: async (request, price, signal) => {
      await around.hold?.(signal);
      const { turn, ready } = await inTurn(() => place(request, price));
      await ready;
      return turn;
    },
    onRecord: async (request) => {
      const { calls } = around;
      if (!calls) return null;
      return inTurn(async () => {
        const { sent, asked } = await stored(request);
        const found = await onRecord(scope, threads.values(), request, sent, asked);
        if (!found) return null;
        await askAgain(scope, found, calls);
        return found.raw;
      });
    },
    named: (id, turn) => {
      const thread = ofTurn.get(turn);
      if (thread) byAnswer.set(id, { thread, length: thread.entries.length });
    },
    close: () =>
      inTurn(async () => {
        for (const thread of threads.values()) {
          await thread.turn?.giveUp();
          for (const [call, n] of thread.open)
            await endCall({ scope, thread, calls: around.calls }, call, n, "aborted");
        }
        await around.calls?.close();
      }),
  };
}

interface Parts {
  sent: readonly Sent[];
  asked: Asked;
}

/** A message that the provider keeps, and the client does not tell again. */
const asTold = ({ link, key, sent }: Thread["entries"][number]): Sent => ({
  item: { role: "user", content: [] },
  link: sent ?? link,
  key,
});
