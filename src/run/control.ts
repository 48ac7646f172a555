/** What others can do to a run while it is driven: pause it, stand before its calls, tell its agent something. */
import type { Handler } from "../scope/effect.ts";
import type { LiveScope } from "../scope/scope.ts";
import { encodeJson } from "../trace/bytes.ts";
import type { Json } from "../trace/ports.ts";
import { witnessBy } from "./actor.ts";
import { checkExpected } from "./expect.ts";
import { type GateOptions, makeGates } from "./gate.ts";
import { type Inbox, makeInbox } from "./inject.ts";
import { noteCancelled } from "./lifecycle.ts";
import { networkMethod } from "./network.ts";
import { makePause } from "./pause.ts";
import type { Answer } from "./question.ts";
import type { Method } from "./socket.ts";
import type { Task } from "./start.ts";

export interface Control {
  /** Resolves when nothing new is held back. Rejects once `signal` aborts. */
  unpaused(signal: AbortSignal): Promise<void>;
  inbox: Inbox;
  /** They stand before all others: what waits for a person then still finds the files as they are. */
  handlers: Handler[];
  /** Writes down who is about to stop it, and why. */
  cancelling(said: Params, reason: string): Promise<void>;
  /** Requests that the owner's socket takes. */
  methods: { [name: string]: Method };
}

/** @param guarded whether gates that its grants declare are missed where they are not there */
export function makeControl(scope: LiveScope, guarded = true): Control {
  const pause = makePause(scope.writer);
  const gates = makeGates(scope, guarded);
  return {
    unpaused: pause.over,
    inbox: makeInbox(scope),
    handlers: [pause.handler, gates.handler],
    cancelling: async (said, reason) => noteCancelled(scope, await witnessBy(scope.store, said), reason),
    methods: {
      pause: async ({ expect, ...said }) => {
        const witness = await witnessBy(scope.store, said);
        checkExpected({ ref: scope.ref, fold: scope.writer.fold }, expect);
        await pause.begin(witness);
        return null;
      },
      resume: async (said) => pause.end(await witnessBy(scope.store, said)),
      gate: async (params, send, closed) => {
        const said = { by: "somebody", ...(await witnessBy(scope.store, params)) };
        await gates.attach(gateOptions(params, said), (event) => send(event as unknown as Json), closed);
        return null;
      },
      answer: async ({ id, answer }) => {
        gates.answer(String(id), checkAnswer(answer!));
        return null;
      },
      network: networkMethod(scope),
    },
  };
}

type Params = { [key: string]: Json };

const texts = (value: Json | undefined): string[] => (Array.isArray(value) ? value.map(String) : []);

const gateOptions = ({ allow, deny, asks, timeoutMs, as }: Params, witness: Params): GateOptions => ({
  allow: texts(allow),
  deny: texts(deny),
  asks: asks === true,
  witness,
  ...(typeof timeoutMs === "number" && { timeoutMs }),
  ...(as !== undefined && as !== null && { as: String(as) }),
});

/** The answer, whoever sent it. Throws where it is none. */
function checkAnswer(value: Json): Answer {
  const { kind, always, reason, input } = (value ?? {}) as Params;
  if (kind === "allow") return { kind, ...(typeof always === "string" && { always }) };
  if (kind === "deny") return { kind, ...(typeof reason === "string" && { reason: reason.toWellFormed() }) };
  if (kind === "rewrite" && input !== undefined) {
    try {
      encodeJson(input);
    } catch (error) {
      throw new Error(`That input cannot be written down: ${(error as Error).message}`);
    }
    return { kind, input };
  }
  throw new Error("An answer is allow, deny or rewrite.");
}

/** Why a run of that kind cannot be paused, told something or gated; null if it can. */
export function cannot(task: Task, what: "pause" | "inject" | "gate" | "handoff", name: string): string | null {
  if (task.worker === "command" && what === "handoff")
    return `${name} runs a command, which has no conversation that could begin anew: \`shepherd revert\` sets its files back.`;
  if (task.worker === "command")
    return `${name} runs a command, which is one step: nothing can be held back or told within it. Ctrl-C in its terminal stops it.`;
  if (task.agent?.body && what === "handoff")
    return `${name} is a run of ${task.agent.name}, a body of code, which has no conversation that could begin anew.`;
  if (task.worker === "gateway" && what === "handoff")
    return `${name} records a program that begins its conversations itself: \`shepherd resume ${name}\` starts it anew.`;
  if (task.agent?.body && what === "inject")
    return `${name} is a run of ${task.agent.name}, a body of code, which is told nothing.`;
  if (task.worker === "gateway" && what !== "pause")
    return `${name} records a program that performs its calls itself and is told nothing by Shepherd: only its model calls can be held back (\`shepherd pause ${name}\`).`;
  return null;
}
