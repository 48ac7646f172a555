/** A scope that is being driven: its log's one writer, its files, its processes, its lock. */
import { encodeJson, link, sha256, target } from "../trace/bytes.ts";
import type { Kind, OutcomeFacts } from "../trace/frame.ts";
import type { Carry, Hash, Json } from "../trace/ports.ts";
import type { Head, Step } from "../trace/seal.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { openWriter, type Writer } from "../trace/writer.ts";
import { countChanges } from "./changes.ts";
import {
  type Compensate,
  decide,
  type Effect,
  type Handler,
  higherTier,
  needsConsent,
  type Performed,
} from "./effect.ts";
import type { Files } from "./files.ts";
import { checkOurs } from "./foreign.ts";
import { loadSnapshot } from "./index.ts";
import type { Limits } from "./limits.ts";
import { type Lock, makeLock, type Ticket } from "./lock.ts";
import { attenuate, findScope, type Grants, grantsOf, NameError, type ScopeRef } from "./registry.ts";
import { makeServices, outputOf, type Services, servicesOf } from "./services.ts";
import { putBytes } from "./thread.ts";

/** Thrown where another live process drives the scope. */
export class Busy extends Error {
  constructor(
    readonly scope: string,
    readonly pid: number | null,
  ) {
    super(`Another process${pid ? ` (pid ${pid})` : ""} is driving ${scope}: wait for it, or stop it first.`);
  }
}

export interface LiveScope {
  readonly store: EmbeddedStore;
  readonly ref: ScopeRef;
  readonly writer: Writer;
  readonly grants: Grants;
  readonly lock: Lock;
  /** Asked for each effect, the first first; those of the scopes around it come behind them. */
  readonly handlers: Handler[];
  /** Its files and processes; absent for a scope that only records. */
  readonly files: Files | null;
  /** Takes effects of the scope back; absent where the process that drives it does not know how. */
  readonly compensate?: Compensate | undefined;
  head(): Head;
  /** Writes the intent and takes the place in the lock's queue; the outcome comes with `settled`. */
  begin(effect: Effect, signal: AbortSignal): Promise<Pending>;
  /** Performs again the effect of step `n`, whose intent is written. */
  again(n: number, effect: Effect, signal: AbortSignal): Pending;
  /** Gives the lease back; kills what still runs in the scope. */
  close(): Promise<void>;
}

export interface Pending {
  n: number;
  settled: Promise<Settled>;
}

export interface Settled {
  n: number;
  outcome: OutcomeFacts;
  /** Steps that this outcome sealed. */
  sealed: Step[];
}

/**
 * The key by which an outside system can tell attempts of one intent from other intents. What is compensable is taken back before it is attempted
 * again: then a new key, since what the old one stands for is over, and the undo of the new attempt must not be taken for that of the old.
 */
export function idempotencyKey(log: string, { n, intent, attempts }: Step): string {
  const again = intent.tier === "compensable" && attempts > 1 ? `\n${attempts}` : "";
  return sha256(`${log}\n${n}\n${intent.what ?? ""}${again}`);
}

export interface AttachOptions {
  handlers?: Handler[];
  compensate?: Compensate | undefined;
  /** What its processes may use meanwhile: never more than its grants say. */
  limits?: Limits | undefined;
  /** Gives the files of the scope; called once the lease is held. `parent`: the log that it was forked from. */
  files?: (scope: { ref: ScopeRef; parent: string | undefined; grants: Grants; services: Services }) => Promise<Files>;
}

/** Becomes the one driver of a scope. Throws `Busy` while another lives. The caller closes it. */
export async function attach(store: EmbeddedStore, name: string, options: AttachOptions = {}): Promise<LiveScope> {
  const ref = await findScope(store, name);
  if (!ref) throw new NameError(`There is no scope ${name}: \`shepherd status\` lists them.`);
  await checkOurs(store, ref);
  const key = `log/${ref.log}`;
  const known = await loadSnapshot(store, ref.log);
  const epoch = await store.leases.acquire(key, (await store.logs.end(ref.log)).epoch);
  if (epoch === null) throw new Busy(name, (await store.leases.holder(key))?.pid ?? null);
  try {
    const writer = await openWriter(store, ref.log, epoch, known ? { ...known.snapshot, ...known.cursor } : undefined);
    const grants = attenuate(await grantsOf(store, ref.log), options.limits ? { limits: options.limits } : {});
    const parent = writer.fold.header.origin?.log;
    const services = makeServices(await servicesOf(store, ref.log), outputOf(store, ref.log), (note) =>
      writer.note(null, note),
    );
    const files = options.files ? await options.files({ ref, parent, grants, services }) : null;
    const handlers = [...(options.handlers ?? []), ...(grants.allow ? [allows(grants.allow)] : [])];
    return live(store, ref, writer, grants, files, handlers, options.compensate);
  } catch (error) {
    await store.leases.release(key, epoch);
    throw error;
  }
}

/** Stands last: what its grants allow needs nobody's word, unless somebody who is asked before says no. */
const allows = (names: readonly string[]): Handler => ({
  name: "grants",
  handle: ({ name, tier }) => (needsConsent(tier) && names.includes(name) ? { kind: "allow" } : { kind: "forward" }),
});

function live(
  store: EmbeddedStore,
  ref: ScopeRef,
  writer: Writer,
  grants: Grants,
  files: Files | null,
  handlers: Handler[],
  compensate: Compensate | undefined,
): LiveScope {
  const lock = makeLock();
  // The tree of the last capture, beside which a step's changes are counted.
  const state = writer.fold.head().state;
  let last: Hash | null = state ? target(state.roots.workspace) : null;
  writer.watch((_frame, sealed) => {
    for (const step of sealed) if (!CAPTURING.has(step.intent.kind)) last = target(step.sealed!.state.roots.workspace);
  });

  const settle = async (n: number, effect: Effect, place: Ticket, signal: AbortSignal): Promise<Settled> => {
    let ticket = place;
    const finish = async (performed: Performed, captured: Measured | null): Promise<Settled> => {
      const tier = performed.tier && higherTier(performed.tier, effect.intent.tier);
      const outcome: OutcomeFacts = {
        ...performed.facts,
        status: performed.status,
        ...(tier && tier !== effect.intent.tier && { tier }),
        ...(performed.result && { result: performed.result }),
        ...(performed.threads && { threads: performed.threads }),
        ...(captured && { workspace: captured.workspace }),
        ...(captured?.background && { background: true }),
      };
      const witness: { [key: string]: Json } = { at: Date.now(), ...performed.witness, ...captured?.witness };
      const sealed = await writer.outcome(n, outcome, { witness, ...(captured && { carry: captured.carry }) });
      return { n, outcome, sealed };
    };
    const measured = async (captured: Captured): Promise<Measured> => {
      const tree = target(captured.workspace);
      const changes = { ...(await countChanges(store, tree === last ? tree : last, tree)) };
      last = tree;
      const { leftOut, processes } = captured;
      return { ...captured, witness: { changes, ...(leftOut && { leftOut }), ...(processes && { processes }) } };
    };
    try {
      const view = {
        scope: ref.name,
        n,
        kind: effect.intent.kind,
        tier: effect.intent.tier,
        name: effect.name,
        input: effect.input,
        readOnly: effect.readOnly ?? effect.lock === "shared",
      };
      const { decision, input, by, changedBy } = await decide(view, handlers, signal);
      if (decision.kind === "deny") {
        // Whoever is told later what came of it must not hold up those behind it meanwhile.
        ticket.release();
        const refused = await effect.refused(decision.reason);
        return await finish({ ...refused, status: "denied", facts: { ...refused.facts, by } }, null);
      }
      if (decision.kind === "answer") {
        // Its place in the order of outcomes is that in the lock's queue, as for a call that runs.
        ticket.come();
        await orAbort(ticket.held, signal);
        let answer = decision.result;
        if (effect.told) {
          await writer.part(n, { part: "files" });
          ticket.release();
          answer = await effect.told(answer);
        }
        return await finish({ ...answer, facts: { ...answer.facts, by } }, null);
      }
      if (changedBy !== null)
        await writer.part(n, { part: "rewrite", what: await putBytes(store, encodeJson(input)), by: changedBy });
      ticket.come();
      await orAbort(ticket.held, signal);
      // Only now, so that who finds the step without an outcome knows whether it may have acted.
      if (needsConsent(effect.intent.tier)) await writer.note(n, { note: "allowed", by });
      if (effect.intent.tier !== "reversible") await writer.sync();
      const background = effect.lock === "exclusive" && files ? await files.written() : false;
      const key = idempotencyKey(ref.log, writer.fold.steps.get(n)!);
      let performed = await effect.run({ n, key, input, signal });
      if (effect.captureAtEnd) {
        ticket = lock.request("exclusive");
        await ticket.held;
      }
      const captures = files && (effect.lock === "exclusive" || effect.captureAtEnd);
      const captured = captures ? await measured({ ...(await files.capture()), background }) : null;
      if (effect.told) {
        const facts = { part: "files", ...(captured && { workspace: captured.workspace }) };
        await writer.part(n, facts, captured ? { carry: captured.carry } : {});
        ticket.release();
        performed = await effect.told(performed);
      }
      return await finish(performed, captured);
    } finally {
      ticket.release();
    }
  };

  const pending = (n: number, effect: Effect, signal: AbortSignal): Pending => {
    const turn = writer.fold.steps.get(n)?.links.turn;
    const place = effect.lock === "none" ? FREE : lock.request(effect.lock, { turn });
    const settled = settle(n, effect, place, signal);
    // Whoever awaits it sees the error; until then it is not unhandled.
    settled.catch(() => {});
    return { n, settled };
  };

  return {
    store,
    ref,
    writer,
    grants,
    lock,
    handlers,
    files,
    compensate,
    head: () => writer.fold.head(),
    begin: async (effect, signal) => {
      const links = {
        ...(effect.turn !== undefined && { turn: effect.turn }),
        ...(effect.inside !== undefined && { inside: effect.inside }),
      };
      const facts = { ...effect.intent, ...(effect.lock === "shared" && { shared: true }) };
      const n = await writer.intent(facts, Object.keys(links).length > 0 ? { links } : {});
      return pending(n, effect, signal);
    },
    again: (n, effect, signal) => pending(n, effect, signal),
    close: async () => {
      try {
        await files?.close();
        await writer.sync();
      } finally {
        await store.leases.release(`log/${ref.log}`, writer.epoch);
      }
    },
  };
}

/** Steps whose workspace is captured here, when they end. All others set it, or leave it. */
const CAPTURING: ReadonlySet<Kind> = new Set<Kind>(["tool", "command", "effect", "model", "message", "compact"]);

/** Waits, but not beyond an abort. A call that waits then stays open, and is performed when the run goes on. */
export async function orAbort(wait: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  let abort = (): void => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => reject(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
  });
  await Promise.race([wait, aborted]).finally(() => signal?.removeEventListener("abort", abort));
}

const FREE: Ticket = { held: Promise.resolve(), come: () => {}, release: () => {} };

export interface Captured {
  workspace: OutcomeFacts["workspace"] & string;
  carry: Carry;
  background?: boolean;
  leftOut?: { [why: string]: number };
  processes?: string;
}

/** With what stands beside the outcome. */
interface Measured extends Captured {
  witness: { [key: string]: Json };
}

export const treeLink = (tree: Hash) => link("tree", tree);

/** Writes a step that only sets the state: it has its outcome at once. */
export async function record(
  scope: { writer: Writer },
  facts: Parameters<Writer["intent"]>[0],
  outcome: OutcomeFacts,
  extra: { carry?: Carry; witness?: { [key: string]: Json }; leftOut?: { [why: string]: number } | undefined } = {},
): Promise<{ n: number; sealed: Step[] }> {
  const n = await scope.writer.intent(facts, extra.witness ? { witness: extra.witness } : {});
  const sealed = await scope.writer.outcome(n, outcome, {
    witness: { at: Date.now(), ...(extra.leftOut && { leftOut: extra.leftOut }) },
    ...(extra.carry && { carry: extra.carry }),
  });
  return { n, sealed };
}
