/** One model call as a step: its blocks as they end, its attempts, its outcome. */
import { nextAttempt } from "../scope/attempt.ts";
import type { Performed } from "../scope/effect.ts";
import type { LiveScope, Pending } from "../scope/scope.ts";
import { type Block, type Item, putBytes, putItem } from "../scope/thread.ts";
import { encodeJson } from "../trace/bytes.ts";
import type { Json, Link } from "../trace/ports.ts";
import type { Calls } from "./calls.ts";
import { endCall } from "./hear.ts";
import { costOf, type Price } from "./prices.ts";
import type { Canonical, End, Usage } from "./protocol.ts";
import { type Entry, entryOf, type Thread } from "./threads.ts";

/** Thrown where a handler refuses a model call. */
export class Refused extends Error {}

/** What is known of an attempt besides what it said. */
export interface Measured {
  /** From the client's request on, and until the first of the answer came; in ms. */
  ms: number;
  first?: number;
  /** How long it was kept back. */
  waited?: number;
}

export interface Turn {
  readonly n: number;
  /** Name of its thread. */
  readonly thread: string;
  /** The request, by which another attempt is known. */
  readonly what: Link;
  readonly blocks: readonly Block[];
  /** Its answer, as it stands on record; null if it is to be sent. */
  readonly recorded: Buffer | null;
  /** Whether a client waits for it now, or it is about to get its outcome. */
  readonly active: boolean;
  /** Resolves once it has its outcome, and the thread has what came of it. */
  readonly settled: Promise<void>;
  /** Another attempt begins; false if it has been given up. */
  again(): Promise<boolean>;
  /** A block has ended: written at return, and the intent of its call. */
  block(block: Block): Promise<void>;
  /** The answer, as it came. */
  end(end: End, raw: Buffer, measured: Measured): Promise<void>;
  /** It broke off. What was passed on counts; without any, another attempt may come for a time. */
  broke(why: string, how: Broken): Promise<void>;
  /** Gives up waiting for another attempt. */
  giveUp(): Promise<void>;
}

export interface Broken {
  /** The client went away, or we did. */
  aborted?: boolean;
  /** How long another attempt is waited for, in ms; not at all without. */
  holdMs?: number;
  usage?: Usage | null;
  measured: Measured;
  raw?: Buffer;
}

interface Begin {
  scope: LiveScope;
  thread: Thread;
  request: Canonical;
  what: Link;
  price: Price | null;
  /** The answer that it is given, where nothing is sent. */
  recorded: Buffer | null;
  /** The step that it runs in. */
  inside: number | undefined;
  calls: Calls | undefined;
}

/** Writes the intent. At return it is written; `ready` rejects with `Refused`, or resolves when the request may leave (synced). */
export async function beginTurn(begin: Begin): Promise<{ turn: Turn; ready: Promise<void> }> {
  const { scope, thread, request, what, price, recorded, inside, calls } = begin;
  const { store, writer } = scope;
  let finish: (performed: Performed) => void = () => {};
  const performed = new Promise<Performed>((resolve) => {
    finish = resolve;
  });
  let mayLeave: () => void = () => {};
  let refuse: (error: Error) => void = () => {};
  const ready = new Promise<void>((resolve, reject) => {
    mayLeave = resolve;
    refuse = reject;
  });
  ready.catch(() => {});
  const blocks: Block[] = [];
  let active = true;
  let over = false;
  let held: NodeJS.Timeout | undefined;
  let last: Performed | null = null;
  let why = "";
  // What attempts cost that came to nothing.
  let sunk = 0;

  const pending: Pending = await scope.begin(
    {
      intent: { kind: "model", tier: "repeatable", thread: thread.name, what },
      lock: "none",
      ...(inside !== undefined && { inside }),
      name: "model",
      input: { model: request.model, api: request.api, ...(recorded && { recorded: true }) },
      run: () => {
        mayLeave();
        return performed;
      },
      refused: async (reason) => {
        refuse(new Refused(reason));
        return { status: "denied", facts: { error: await putBytes(store, Buffer.from(reason)) } };
      },
    },
    NEVER,
  );
  const { n } = pending;
  let message: Entry | null = null;
  // First of all who wait for it, so that the thread is as it will be when they look.
  const settled = pending.settled.then(
    () => after(),
    (error: Error) => {
      refuse(error);
      after();
    },
  );
  const after = (): void => {
    if (message) thread.entries.push(message);
    if (thread.turn === turn) thread.turn = null;
    over = true;
    active = false;
  };

  const close = async (done: Performed): Promise<void> => {
    clearTimeout(held);
    over = true;
    finish(done);
    await pending.settled;
    await settled;
  };
  const putMessage = async (): Promise<Entry> => {
    const item: Item = { role: "assistant", content: blocks };
    return entryOf(await putItem(store, item), item);
  };
  const keep = async (raw: Buffer | undefined): Promise<void> => {
    if (raw && raw.length > 0) await writer.part(n, { part: "answer", what: await putBytes(store, raw) });
  };
  const witnessOf = ({ ms, first, waited }: Measured, usage: Usage | null | undefined): { [name: string]: Json } => ({
    ms,
    ...(first !== undefined && { first }),
    ...(waited && { waited }),
    ...(recorded && { recorded: true }),
    ...(!recorded && price && (usage || sunk > 0) && { cost: sunk + (usage ? costOf(price, usage) : 0) }),
  });

  const turn: Turn = {
    n,
    thread: thread.name,
    what,
    blocks,
    recorded,
    get active() {
      return active;
    },
    settled,
    again: async () => {
      if (over) return false;
      clearTimeout(held);
      active = true;
      if (typeof last?.witness?.cost === "number") sunk = last.witness.cost;
      last = null;
      await nextAttempt(scope, n, why);
      await writer.sync();
      return true;
    },
    block: async (block) => {
      const of = await putBytes(store, encodeJson(block));
      const isCall = block.type === "call";
      await writer.part(n, { part: "block", what: of, ...(isCall && { call: true }) });
      blocks.push(block);
      if (block.type !== "call") return;
      const facts = {
        kind: "tool" as const,
        tier: "reversible" as const,
        thread: thread.name,
        what: of,
        // Without word from who performs it nobody knows what it changes.
        ...(calls ? calls.facts(block) : { unobserved: true }),
      };
      const before = thread.open.get(block.id);
      if (before !== undefined) await endCall({ scope, thread, calls }, block.id, before, "not-run");
      const asked = await writer.intent(facts, { links: { turn: n, ...(inside !== undefined && { inside }) } });
      thread.open.set(block.id, asked);
      calls?.asked(asked, block);
    },
    end: async ({ stop, usage, tokens }, raw, measured) => {
      await keep(raw);
      const told = tokens && (await putBytes(store, encodeJson(tokens)));
      const facts = { stop, ...(usage && { usage: { ...usage } }), ...(told && { tokens: told }) };
      const witness = witnessOf(measured, usage);
      if (blocks.length === 0) return close({ status: "done", facts, witness });
      message = await putMessage();
      const { link } = message;
      await close({ status: "done", result: link, threads: { [thread.name]: { append: [link] } }, facts, witness });
    },
    broke: async (words, { aborted = false, holdMs, usage, measured, raw }) => {
      if (over) return;
      why = words;
      const error = await putBytes(store, Buffer.from(words.toWellFormed()));
      const facts = { error, ...(usage && { usage: { ...usage } }) };
      const witness = witnessOf(measured, usage);
      if (blocks.length > 0) {
        await keep(raw);
        const said = await putMessage();
        const counts = blocks.some(({ type }) => type === "call");
        if (counts) message = said;
        const threads = counts && { threads: { [thread.name]: { append: [said.link] } } };
        return close({ status: "cut", result: said.link, ...threads, facts, witness });
      }
      last = { status: aborted ? "aborted" : "failed", facts, witness };
      if (holdMs === undefined) return turn.giveUp();
      active = false;
      held = setTimeout(() => void turn.giveUp().catch(() => {}), holdMs);
      held.unref();
    },
    giveUp: async () => {
      if (over) await settled;
      else if (last) await close(last);
    },
  };
  thread.turn = turn;
  return { turn, ready };
}

/** What is under way is ended by whoever began it, with an outcome. */
const NEVER = new AbortController().signal;
