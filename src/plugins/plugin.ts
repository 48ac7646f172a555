/**
 * A coding agent of the user's, as Shepherd drives it: where its program and its configuration are, how it is started, what its hooks say. All
 * that is about one agent is behind this interface; scopes, the gateway and recording are the same for all.
 */
import type { Ended, ToolTraits } from "../gateway/calls.ts";
import type { Urls } from "../gateway/gateway.ts";
import type { Canonical } from "../gateway/protocol.ts";
import type { Call, Item } from "../scope/thread.ts";
import type { Json } from "../trace/ports.ts";
import type { Place } from "./place.ts";

type Members = { [name: string]: Json };

/** What was found of an agent on this machine. */
export interface Detected {
  /** The program, absolute and without links. */
  program: string;
  version: string;
  /** `exact`: a version that was tested; `untested` otherwise. */
  support: "exact" | "untested";
}

/** Something that would fail, or is only a fall-back, as one sentence that says what to do. */
export interface Problem {
  severity: "error" | "warning";
  what: string;
}

/** Where the user's configuration of an agent lies. */
export interface ConfigPlace {
  /** The directory, which the agent has a view of its own of, at the same path. */
  path: string;
  /** Files of the user's that agents must not see: credentials, and what lies beside the directory. */
  hide: readonly string[];
}

export interface Start {
  program: string;
  config: string;
  urls: Pick<Urls, "anthropic" | "openai">;
  /** A line of sh(1): the hook to install. It takes an event on standard input. */
  hook: string;
  /** Name under which it keeps its conversation: the same in each fork. */
  session: string;
  /** Words for its command line that the user gave. */
  args: readonly string[];
  /** What it is to do. Null: it is to go on as it was, with nothing said. */
  prompt: string | null;
  /** Whether its configuration has a record of the conversation already. */
  resumed: boolean;
  /** Whether it has the terminal, and its user types there; then `prompt` is what is typed first, or nothing. */
  interactive: boolean;
}

/** How an agent is started. */
export interface Started {
  argv: string[];
  env: { [name: string]: string | null };
  /** Written to its standard input, which is closed then, or when `over` says that its work is done. Without it, it has none. */
  input?: string;
  /** What is written to its standard input to tell it something while it works. */
  say?(text: string): string;
  /** Whether a line of its output says that its work is done. */
  over?(line: string): boolean;
  /** What a line of its output says to a person; null for nothing. */
  told?(line: string): string | null;
}

/** What a hook tells. A call is `own` that no model asked for: the agent, or a sub-agent of that name (`by`), makes it inside of one. */
export type HookEvent =
  | { kind: "before"; call: string; name: string; input: Json; own?: boolean; by?: string | undefined }
  | { kind: "after"; call: string; status: Ended; input?: Json | undefined; output?: string }
  | { kind: "other" };

export interface Plugin {
  readonly name: string;
  /** What users type: `shepherd run claude`. */
  readonly command: string;
  /** Whether it can have the terminal, and be told there what to do. */
  readonly interactive?: boolean;
  /** Its program; null where there is none. */
  detect(env: NodeJS.ProcessEnv): Promise<Detected | null>;
  /** What would fail or be less than it should, known before a run. */
  problems(env: NodeJS.ProcessEnv, detected: Detected): Problem[];
  configPlace(env: NodeJS.ProcessEnv): ConfigPlace;
  /** Copies what a run needs of the user's configuration into an empty directory: no credentials, no other conversations, no caches. */
  gather(place: ConfigPlace, workspace: string, into: string): void;
  start(start: Start): Started;
  session: {
    /** Where it keeps a conversation, below its configuration directory. */
    path(workspace: string, session: string): string;
    /** The record with which a conversation begins, for an agent that otherwise chooses its name itself. */
    seed?(workspace: string, session: string): Buffer;
    /**
     * Its record of a conversation up to a place. Null if there is no telling what it had there; where nothing was acted on yet, also if it is
     * to begin anew.
     */
    cut(record: Buffer, at: Place): Buffer | null;
    /** The record with another result of a call. */
    rewrite(record: Buffer, call: string, text: string): Buffer;
    /** Ids of the calls of which it has results, for an agent that writes them down at once. */
    results?(record: Buffer): ReadonlySet<string>;
  };
  /** Words in which it takes a text for something that it is told, whatever it begins with. They hold the text on lines of its own. */
  asMessage(text: string): string;
  /** Whether a request begins with a summary of what was said before, by an agent that makes room so. */
  compacts?(request: Canonical): boolean;
  /** Whether a request only asks for such a summary, for an agent that may do so before its hooks say that it starts: nothing is performed for it. */
  summarizes?(body: Buffer): boolean;
  /** Names and times that it makes up anew each time, and tells its model: a request that differs only there is the same. Global. */
  readonly byChance?: RegExp;
  /** A model request as it is to leave. */
  outgoing(body: Buffer): Buffer;
  traits(call: Call): ToolTraits;
  /** The task of a sub-agent, as its first message tells it; null for other calls. For agents whose sub-agents work inside of a call. */
  taskOf?(call: Call): string | null;
  /** What a result says of its call, where the protocol has no word for it: that it failed, or that it is a script that goes on. */
  outcome?(result: Item): "done" | "failed" | "goes on";
  hook: {
    /** So long the agent waits for an answer, in ms; then it performs the call. */
    waits: number;
    decode(event: Members): HookEvent;
    allow(input?: Json): Json;
    /** Without it a call is refused by the exit code of the hook, with the reason on its standard error. */
    deny?(reason: string): Json;
  };
}
