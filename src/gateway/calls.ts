/**
 * The calls of a program that tells before it performs one and after: by hooks. The gateway has written the intent by then. Between the two
 * the call goes through the scope's handlers and its lock like any other; its outcome is written once the model is told what came of it.
 */
import type { Call, Item } from "../scope/thread.ts";
import type { Tier } from "../trace/frame.ts";
import type { Json, Link } from "../trace/ports.ts";
import type { Canonical } from "./protocol.ts";
import type { Thread } from "./threads.ts";

/** What a tool is to the scope, and to the program that performs it. */
export interface ToolTraits {
  /** It reads, and changes nothing. */
  shared?: boolean;
  /** Calls of its own run inside: a sub-agent, a script. */
  container?: boolean;
  /** What it does outside is not seen. */
  unobserved?: boolean;
  /**
   * The program performs it without asking, and tells nothing behind it: what came of it is known when the model is told. So it takes no lock,
   * and what it changed is found as what a process in the background has.
   */
  unasked?: boolean;
  /** The program makes calls of its own in it, and asks for each. */
  script?: boolean;
  /** The program performs nothing beside it: when it asks for another call, this one has ended. */
  alone?: boolean;
  /** So long the program waits for it at most, in ms; then it goes on in the background, and nothing may be told of that. */
  awaited?: number;
}

/** What a program is told before it performs a call. */
export type Verdict = { kind: "allow"; input?: Json } | { kind: "deny"; reason: string };

export type Ended = "done" | "failed" | "aborted";

/** A call that a program makes by itself. */
export interface Own {
  /** Name of the tool. */
  name: string;
  /** Which sub-agent makes it; without it the agent itself. */
  by?: string | undefined;
}

/** What a program says of a call that has ended. */
export interface Said {
  /** With what it was performed. */
  input?: Json | undefined;
  /** What came of it, as text. */
  output?: string | undefined;
}

export interface Calls {
  /** What the intent of a call says of it besides the call. */
  facts(call: Call): { [name: string]: Json };
  /** The container that a request runs in. */
  insideOf(request: Canonical, thread: Thread): number | undefined;
  /** The intent of a call is written. */
  asked(n: number, call: Call): void;
  /**
   * A program is about to perform a call: it may when this resolves so, and holds the scope's lock from then on. Rejects for a call of which no
   * intent was written.
   * @param own for a call that no model asked for: the program makes it inside of one, and its intent is written here
   */
  begin(id: string, input: Json, own?: Own): Promise<Verdict>;
  /** It has ended; at return its files are captured. */
  end(id: string, status: Ended, said?: Said): Promise<void>;
  /** The model is told what came of it, by a result if there is one. The outcome is written at return. */
  told(n: number, status: Ended | "not-run", append: Link[], result?: Item): Promise<void>;
  /** Numbers of those that are being performed: containers only where nothing runs in any. */
  running(): number[];
  /** Ends all of which no model will be told. */
  close(): Promise<void>;
}

export interface CallsOptions {
  traits: (call: Call) => ToolTraits;
  /** The task of a sub-agent, in the words in which its first message tells it. */
  taskOf?: (call: Call) => string | null;
  /** The highest tier of what a call did outside. Asked when it has ended. */
  observed?: (n: number) => Tier | undefined;
  /** What a result says of its call, where the protocol has no word for it: that it failed, or that it is a script that goes on. */
  outcome?: (result: Item) => "done" | "failed" | "goes on";
  /** Ids of the calls whose results the program has noted down for itself: those have ended, whether it said so or not. */
  results?: () => ReadonlySet<string>;
  /** Called with a sentence where the program does not keep to what it was told. It must be ended. */
  broken: (why: string) => void;
  signal: AbortSignal;
}
