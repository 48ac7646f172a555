/** What an agent is: a task as a typed function, with an instruction or a code body. */
import type { Context } from "./context.ts";
import type { Effects } from "./effect.ts";
import { Invalid } from "./errors.ts";
import { resumed, started } from "./handle.ts";
import { type Model, makeRun, type ResumeOptions, RIGHTS, type Run, type StartOptions } from "./run.ts";
import type { InputOf, OutputOf, Schema } from "./schema.ts";
import type { BuiltinName } from "./tools/names.ts";
import type { Tool } from "./tools/tool.ts";
import type { Outside } from "./worker.ts";

interface Common<I extends Schema, E extends Effects> {
  /** What `start` takes; nothing without it. */
  readonly input?: I;
  readonly effects?: E;
}

export interface InstructionSpec<I extends Schema, O extends Schema> extends Common<I, Effects> {
  /** What the agent is told first. */
  readonly instruction: string | ((input: OutputOf<I>) => string);
  /**
   * What its last message must be: JSON, or its text where that fits. One that does not fit goes back to the model with the reason, three times at
   * most. Without it the result is the text.
   */
  readonly output?: O;
  readonly model?: Model;
  /** Besides the rights of runs among its input, which are tools. Without it: none beside these, else bash, read, write, edit, glob and grep. */
  readonly tools?: ReadonlyArray<Tool | BuiltinName>;
  /** Files that name servers of tools (MCP), as `--mcp` takes them. */
  readonly mcp?: readonly string[];
  /** What the model is told before the conversation. */
  readonly system?: string;
}

export interface BodySpec<I extends Schema, O extends Schema, E extends Effects> extends Common<I, E> {
  readonly output: O;
  /** See `Context` for what it must keep to. */
  body(input: OutputOf<I>, context: Context<E>): InputOf<O> | Promise<InputOf<O>>;
}

export interface PlainBodySpec<I extends Schema, R, E extends Effects> extends Common<I, E> {
  readonly output?: undefined;
  /** See `Context` for what it must keep to. What it returns must be plain data. */
  body(input: OutputOf<I>, context: Context<E>): R | Promise<R>;
}

/** A definition, as everything inside knows it. */
export interface Definition {
  readonly name: string;
  readonly input: Schema | null;
  readonly output: Schema | null;
  readonly effects: Effects;
  readonly instruction?: string | ((input: unknown) => string);
  readonly body?: (input: unknown, context: Context) => unknown;
  readonly model?: Model;
  readonly tools?: ReadonlyArray<Tool | BuiltinName>;
  readonly mcp?: readonly string[];
  readonly system?: string;
  /** For a worker that no program defines: see `worker.ts`. */
  readonly outside?: Outside;
}

const DEFINITION = Symbol("definition");

/** A task as a typed function over execution: `In` is what `start` takes, `Out` what its result is, `E` its effects. */
export interface Agent<In = unknown, Out = unknown, E extends Effects = Effects> {
  readonly name: string;
  /** Starts a run on the files of a directory, and drives it in this process. Never throws: what is wrong rejects `result`. */
  start(input: In, options?: StartOptions): Run<Out, E>;
  /** Goes on with a run of this agent, whoever drove it before: what a crash left is settled as the tiers say. Its result is that of the whole run. */
  resume(run: string, options?: ResumeOptions): Run<Out, E>;
  /** A run of this agent, without driving it. */
  run(name: string, options?: { store?: string }): Run<Out, E>;
  /** @internal */
  readonly [DEFINITION]: Definition;
}

/** What a body needs of an agent to call it. */
export type Callable<In, Out> = {
  readonly name: string;
  start(input: In, options?: StartOptions): { readonly result: Promise<Out> };
};

export const definitionOf = (agent: Pick<Agent, "name">): Definition => (agent as Agent)[DEFINITION];

/** The definitions of this process by name, for those who find an effect in a log and must take it back. The newest counts. */
const KNOWN = new Map<string, Definition>();
export const knownDefinition = (name: string): Definition | undefined => KNOWN.get(name);

type None = Schema<void, void>;

/**
 * Defines an agent: with an `instruction` (a model and tools do the work) or with a code `body`. Names are those of a program: another agent of the
 * same name takes its place where effects of the log are taken back. With a specification alone, a decorator of methods (see `agentOf`). Throws
 * `Invalid` for a definition that cannot hold.
 */
export function agent<I extends Schema = None, O extends Schema = Schema<string>>(
  name: string,
  spec: InstructionSpec<I, O>,
): Agent<InputOf<I>, OutputOf<O>, Record<never, never>>;
export function agent<I extends Schema = None, O extends Schema = Schema, E extends Effects = Record<never, never>>(
  name: string,
  spec: BodySpec<I, O, E>,
): Agent<InputOf<I>, OutputOf<O>, E>;
export function agent<R, I extends Schema = None, E extends Effects = Record<never, never>>(
  name: string,
  spec: PlainBodySpec<I, R, E>,
): Agent<InputOf<I>, R, E>;
export function agent<I extends Schema = None, O extends Schema = Schema, E extends Effects = Record<never, never>>(
  spec: Common<I, E> & { readonly name?: string; readonly output?: O },
): <This extends object>(
  method: (this: This, input: OutputOf<I>, context: Context<E>) => InputOf<O> | Promise<InputOf<O>>,
  context: ClassMethodDecoratorContext<This>,
) => void;
export function agent(first: string | object, spec?: object): unknown {
  return typeof first === "string" ? define(first, spec as Partial<Definition>) : decorator(first);
}

function define(name: string, spec: Partial<Definition>): Agent {
  if (!/^[A-Za-z][\w-]{0,63}$/.test(name))
    throw new Invalid(`${JSON.stringify(name)} is no name for an agent: use letters, digits, - and _, at most 64.`);
  if ((spec.instruction === undefined) === (spec.body === undefined))
    throw new Invalid(`${name} must have an \`instruction\` or a \`body\`, and not both.`);
  if (spec.body === undefined && spec.effects)
    throw new Invalid(`${name} has an instruction, so its effects are its tools: leave \`effects\` out.`);
  const reserved = Object.keys(spec.effects ?? {}).find((each) => OWN.has(each));
  if (reserved !== undefined) throw new Invalid(`${name} cannot have an effect ${reserved}: every context has that.`);
  const definition: Definition = { effects: {}, ...spec, name, input: spec.input ?? null, output: spec.output ?? null };
  KNOWN.set(name, definition);
  return fromDefinition(definition);
}

export function fromDefinition(definition: Definition): Agent {
  const all = new Set(RIGHTS);
  return Object.freeze({
    name: definition.name,
    start: (input: unknown, options: StartOptions = {}) => makeRun(started(definition, input, options), all),
    resume: (run: string, options: ResumeOptions = {}) => makeRun(resumed(definition, run, options, true), all),
    run: (run: string, options: { store?: string } = {}) => makeRun(resumed(definition, run, options, false), all),
    [DEFINITION]: definition,
  });
}

/** Names of what a context does by itself. */
const OWN: ReadonlySet<string> = new Set(["bash", "now", "random", "uuid", "fetch", "sleep", "return"]);

const OF_METHODS = new WeakMap<object, Agent>();

const decorator =
  (spec: { name?: string }) =>
  (method: (this: unknown, ...given: never) => unknown, context: ClassMethodDecoratorContext): void => {
    const key = context.name;
    if (context.private || context.static || typeof key === "symbol")
      throw new Invalid("@agent stands on methods of instances that have a public name.");
    context.addInitializer(function (this: unknown) {
      const body = (...given: unknown[]) => method.apply(this, given as never);
      const made = define(spec.name ?? key, { ...spec, body });
      const refuse = (): never => {
        throw new Invalid(`${key} is an agent: agentOf(it).start(…) starts it, context.call(agentOf(it), …) calls it.`);
      };
      OF_METHODS.set(refuse, made);
      Object.defineProperty(this, key, { value: refuse, configurable: true, writable: true });
    });
  };

/** The agent that a method with `@agent` is: `agentOf(shop.order)`. Bound to its instance. Throws `Invalid` for another function. */
export function agentOf<I, R, E extends Effects>(
  method: (input: I, context: Context<E>) => R,
): Agent<I, Awaited<R>, E> {
  const made = OF_METHODS.get(method);
  if (!made) throw new Invalid("agentOf takes a method of an instance that has @agent.");
  return made as unknown as Agent<I, Awaited<R>, E>;
}
