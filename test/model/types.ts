/**
 * The values of the reference model. A `System` is plain data: everything that a store, its owners and the world outside would hold.
 * What is durable stands in `Log` and `World`; `Live` is what dies with an owner.
 */
import type { Kind, Status, Tier } from "../../src/trace/frame.ts";

export type { Kind, Status, Tier };

/** Name of a scope. `main` is the user's working directory. */
export type Name = string;
/** Paths to contents; a content is a small number. Keys are sorted, so that equal trees are equal values. */
export type Workspace = { readonly [path: string]: number };
/** What a scope may do: ask a model, write files, act on the world. */
export type Grant = "ask" | "write" | "act";
/** How a call takes the scope's lock; a container never takes it. */
export type Mode = "exclusive" | "shared" | "container";

export interface Call {
  readonly tool: string;
  readonly mode: Mode;
  readonly tier: Tier;
}
/** One block of a model's answer. */
export interface Block {
  readonly text?: number;
  readonly call?: Call;
}
export type Output = number | string | null;
export type Item =
  | { readonly role: "user"; readonly text: number | string }
  | { readonly role: "assistant"; readonly blocks: readonly Block[] }
  /** Answers call number `of` of the newest assistant message before it. */
  | { readonly role: "result"; readonly of: number; readonly status: Status; readonly output: Output };
export type Threads = { readonly [thread: string]: readonly Item[] };
export interface State {
  readonly workspace: Workspace;
  readonly threads: Threads;
}

/** base, ours and theirs of each path (or `thread NAME`) in conflict. */
export type Conflict = {
  readonly [what: string]: { readonly base: unknown; readonly ours: unknown; readonly theirs: unknown };
};

/** A commit is content: its id is a digest of this value and of nothing else. */
export interface Commit {
  readonly type: "commit";
  readonly v: 1;
  readonly parents: readonly string[];
  readonly kind: Kind;
  readonly tier: Tier;
  readonly intent: Intent;
  readonly outcome: Omit<Outcome, "state" | "workspace" | "append" | "stopped"> & { readonly captured?: true };
  readonly state: State;
}

// ---- frames -------------------------------------------------------------------------------------------------------------

export interface Intent {
  readonly kind: Kind;
  /** As declared. */
  readonly tier: Tier;
  readonly thread?: string;
  /** The call, and its place in the message that asks for it. */
  readonly call?: Call;
  readonly of?: number;
  /** What else is asked: a task, a text, the digest of a request, the id of a target, choices. */
  readonly what?: unknown;
  /** The head that this step merges. */
  readonly with?: string;
}
export interface Outcome {
  readonly status: Status;
  /** Final: the higher of declared and observed. */
  readonly tier: Tier;
  readonly result?: Output;
  /** The workspace as captured; present exactly if the call held the lock, and was not stopped while it only read. */
  readonly workspace?: Workspace;
  readonly append?: Threads;
  /** The whole state, where the step sets it. */
  readonly state?: State;
  readonly conflict?: Conflict;
  readonly summary?: string;
  /** The user's word on an action in doubt: that it did happen, or that it is left at that, so that it may have. */
  readonly happened?: true | "perhaps";
  /** It had the lock when it was stopped, and captured nothing. */
  readonly stopped?: true;
}
export type Part =
  | { readonly block: Block }
  | { readonly attempt: number; readonly aborted?: true }
  | { readonly observed: Tier };
export type Note =
  | { readonly note: "attached"; readonly by: string }
  | { readonly note: "allowed" }
  | { readonly note: "forked"; readonly scopes: readonly Name[] }
  | { readonly note: "shrunk"; readonly grant: Grant }
  | { readonly note: "compensate" | "compensated"; readonly scope: Name; readonly of: number; readonly attempt: number }
  | { readonly note: "discard" }
  /** A new owner has read the log up to here. */
  | { readonly note: "taken" }
  /** Undo of the discard that is operation `target`. */
  | { readonly note: "restored"; readonly target: number };

/** How a step hangs together with others. Numbers and names, so never in a commit. */
export interface Links {
  /** The step that brought the message with this call into the thread. */
  readonly turn?: number;
  readonly inside?: number;
  /** revert: a step; undo: an operation; resolve: a step in conflict. */
  readonly target?: number;
  readonly resolves?: number;
  /** The scope whose head is merged, and how many frames its log had. */
  readonly child?: { readonly scope: Name; readonly frames: number };
  /** For each thread, the step that brought its newest message, where a step sets the whole state. */
  readonly turns?: Turns;
}
export type Turns = { readonly [thread: string]: number };

export type Body =
  | { readonly phase: "intent"; readonly n: number; readonly facts: Intent; readonly links: Links }
  | { readonly phase: "part"; readonly n: number; readonly facts: Part; readonly links: Links }
  | { readonly phase: "outcome"; readonly n: number; readonly facts: Outcome; readonly links: Links }
  | { readonly phase: "note"; readonly n: number | null; readonly facts: Note; readonly links: Links };
export type Frame = Body & {
  readonly seq: number;
  readonly epoch: number;
  /** Digest of the frame before, as the writer knew it. */
  readonly prev: string;
  /** Beside the identity: clock and idempotency key. */
  readonly witness: { readonly time: number; readonly key?: string };
};

export interface Header {
  readonly scope: Name;
  readonly parent: Name | null;
  readonly origin: Origin | null;
  readonly grants: readonly Grant[];
}
/** Where a scope starts: the `position`-th sealed step of another log. */
export interface Origin {
  readonly log: Name;
  readonly position: number;
  readonly commit: string;
  readonly state: State;
  /** The highest number of the prefix; -1 for a run, whose numbers start at 0. */
  readonly top: number;
  readonly turns: Turns;
}
export interface Log {
  readonly header: Header;
  /** In file order, with those that do not count. */
  readonly records: readonly Frame[];
  /** How many records survive power loss. */
  readonly synced: number;
}

// ---- the system ---------------------------------------------------------------------------------------------------------

/** A claim to write: records up to `seen` are known to the holder. */
export interface Lease {
  readonly epoch: number;
  readonly seen: number;
}
export interface Live {
  readonly workspace: Workspace;
  /** Who holds the scope's lock. */
  readonly holders: readonly number[];
  /** Calls that acted on the world in their present attempt. */
  readonly acted: readonly number[];
  /** Calls in doubt that wait for the user's decision. */
  readonly asked: readonly number[];
}
export interface Scope {
  readonly log: Log;
  /** The newest epoch given out. */
  readonly epoch: number;
  readonly lease: Lease | null;
  readonly live: Live | null;
  /** An owner that lost its lease without knowing. */
  readonly stale: (Lease & { readonly live: Live }) | null;
}
/** A request that reached the outside; compensations are honoured once by key and attempt. */
export interface Action {
  readonly does: "act" | "compensate";
  readonly scope: Name;
  readonly n: number;
  readonly attempt: number;
  readonly tier: Tier;
  readonly key: string;
}
export interface System {
  readonly scopes: { readonly [name: Name]: Scope };
  /** The files of the user's working directory, and whether a landing's staging directory stands in it. */
  readonly user: Workspace;
  readonly staged: boolean;
  readonly world: readonly Action[];
  /** Contents destroyed for good. */
  readonly forgotten: readonly number[];
  readonly time: number;
  /** Operations older than this have expired. */
  readonly horizon: number;
  /** Every name ever given: none is reused, since keys are made of them. */
  readonly names: readonly Name[];
}

// ---- commands and replies -----------------------------------------------------------------------------------------------

/** `partial`: go without what was destroyed. */
type MayLack = { readonly partial?: boolean };
/** An edit by the user: a path, and its content or null for its removal. */
export type Edit = readonly [path: string, content: number | null];

export type Command =
  // a turn
  | { do: "ask"; scope: Name; thread: string }
  | { do: "block"; scope: Name; thread: string; block: Block }
  | { do: "answer"; scope: Name; thread: string; fail?: boolean }
  | { do: "call"; scope: Name; thread: string; of: number }
  | { do: "nest"; scope: Name; inside: number; call: Call }
  | { do: "allow"; scope: Name; n: number }
  | { do: "deny"; scope: Name; n: number; as: "denied" | "not-run" }
  | { do: "lock"; scope: Name; n: number }
  | { do: "write"; scope: Name; n: number; edit: Edit }
  | { do: "act"; scope: Name; n: number; tier: Tier }
  | { do: "end"; scope: Name; n: number; status: "done" | "failed"; output: number }
  | { do: "message"; scope: Name; text: number }
  | { do: "inject"; scope: Name; text: number }
  | { do: "resume"; scope: Name; thread: string; open?: "perform" | "drop" }
  // futures
  | ({ do: "run"; scope: Name; task: number; grants: readonly Grant[] } & MayLack)
  | ({ do: "fork"; scope: Name; n: number; at: "step" | "intent"; k: number; grants?: readonly Grant[] } & MayLack)
  | ({ do: "revert"; scope: Name; n: number; acknowledge?: boolean } & MayLack)
  | ({ do: "merge"; scope: Name; tell?: boolean; race?: Edit } & MayLack)
  | ({ do: "sync"; scope: Name } & MayLack)
  | ({ do: "resolve"; scope: Name; n: number; choices: { [path: string]: number | null } } & MayLack)
  | ({ do: "undo"; scope: Name; op?: number; race?: Edit } & MayLack)
  | { do: "discard"; scope: Name }
  // beside the worker
  | { do: "status" }
  | { do: "observe"; scope: Name; by: string }
  | { do: "shrink"; scope: Name; grant: Grant }
  | { do: "replay"; scope: Name; n: number }
  | { do: "edit"; edit: Edit }
  | { do: "forget"; content: number }
  | { do: "gc"; retention: number }
  | { do: "flush"; scope: Name }
  // failures
  | { do: "kill"; scopes: readonly Name[] }
  /** All owners die, after the first `after` effects of `during` if one is given; with `power`, unsynced records beyond `keep` are lost. */
  | { do: "crash"; power: boolean; keep: number; during?: Command; after?: number }
  | { do: "seize"; scope: Name }
  | { do: "stale"; scope: Name; n: number | null }
  | { do: "recover"; scope: Name }
  | { do: "decide"; scope: Name; n: number; as: "again" | "drop" | "happened" };
export type Does = Command["do"];
export type Of<K extends Does> = Extract<Command, { do: K }>;

/** Why a command is refused, all there is. A refused command changes nothing. */
export const refusals = [
  "acted", // this attempt acted already
  "attached", // this observer is attached already
  "busy", // steps without outcome stand in the way
  "compensated", // what was compensated cannot be declared to have happened
  "conflict", // the choices leave a path in conflict
  "container", // a container takes no lock and is not judged
  "discarded",
  "down", // the owner is gone: recover first
  "exists", // the name was given before
  "expired", // older than retention
  "forgotten", // the state holds destroyed bytes; `partial` goes without them
  "gate", // irreversible: must be allowed first
  "grant", // more than the scope has
  "in-doubt", // a call waits for the user's decision
  "inside", // steps inside the container have no outcome
  "irreversible", // would pass an irreversible effect; needs `acknowledge`
  "main", // not for the user's directory
  "no-call", // no open call there
  "no-model", // no model call pending on this thread
  "no-op", // no such operation
  "no-scope",
  "no-step",
  "no-undo", // the call declares no undo, so it is not compensable
  "not-holding",
  "nothing", // nothing to do
  "open-calls", // calls of the thread are not answered
  "order", // calls of a turn are numbered in block order
  "settled", // the step has its outcome
  "shared", // declared read-only
  "thread", // neither the scope's own thread nor that of a pending container
  "undone", // taken back already
  "unsealed", // waits for a seal
  "up", // has an owner
  "waiting", // the lock is taken, or others came first
] as const;
export type Refusal = (typeof refusals)[number];

export type Done =
  | "ok"
  | "adopted" // merged, threads taken over
  | "asked" // recovered, with calls that wait for a decision
  | "conflict" // a step that holds base, ours, theirs
  | "counted" // the stale owner was in time
  | "cut" // the answer ended early, with the blocks it has
  | "dropped" // open calls answered `not run`
  | "external" // main differed: one step
  | "fenced" // the stale owner's frame does not count
  | "landed"
  | "merged"
  | "performed" // open calls have their intents
  | "restored" // a discarded scope is back
  | "taken"; // logs removed

export interface Accepted {
  readonly ok: Done;
  readonly n?: number;
  readonly scopes?: readonly Name[];
  /** Effects that are named, since they are not taken back: `SCOPE:N`. */
  readonly listed?: readonly string[];
  /** Paths left out, since their bytes were destroyed. */
  readonly lacks?: readonly string[];
  readonly state?: State;
}
export type Reply = Accepted | { readonly refused: Refusal };
