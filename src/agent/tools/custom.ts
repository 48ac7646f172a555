/** Tools that a program brings: `tool({…})`. They run in that program, and not in the sandbox. */
import type { Tier } from "../../trace/frame.ts";
import type { Json } from "../../trace/ports.ts";
import { misfitOf } from "./jsonschema.ts";
import type { Tool } from "./tool.ts";

/** A validator that follows Standard Schema, version 1. */
export interface StandardSchema<Output = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Checked<Output> | Promise<Checked<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}
type Checked<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | {
      readonly issues: ReadonlyArray<{
        readonly message: string;
        readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined;
      }>;
    };

/** JSON Schema of an object. */
export interface JsonSchema {
  readonly type: "object";
  readonly [keyword: string]: unknown;
}

export interface ToolDefinition<Given> {
  /** Letters, digits, - and _, 64 at most. */
  name: string;
  /** What the model is told about it. */
  description: string;
  /** What it takes: JSON Schema, or a validator beside which `schema` stands, unless it can tell its JSON Schema itself. */
  input: JsonSchema | StandardSchema<Given>;
  schema?: JsonSchema;
  /**
   * How far it reaches: `irreversible` without it, so each call has to be allowed; `repeatable` for one that is `readOnly`. `reversible` says that
   * it changes nothing but files of the scope.
   */
  tier?: Exclude<Tier, "compensable">;
  /** Whether it changes nothing: calls of it run beside each other. */
  readOnly?: boolean;
  /**
   * Performs a call whose input fits. A text is told to the model as it is, other values as JSON. What it throws is told to the model as a call that failed.
   * `key` is the same for each attempt of a call: for services that want to know a second attempt from a second call.
   */
  run(input: Given, context: { signal: AbortSignal; key: string }): Promise<Json | undefined> | Json | undefined;
}

/** A tool of the agent's. Throws a `TypeError` where the definition does not fit. */
export function tool<Given = { [name: string]: Json }>(definition: ToolDefinition<Given>): Tool {
  const { name, description, input, readOnly = false, run } = definition;
  if (!/^[\w-]{1,64}$/.test(name))
    throw new TypeError(`A tool needs a name of letters, digits, - and _, 64 at most, not ${JSON.stringify(name)}.`);
  const schema = definition.schema ?? (isStandard(input) ? toldBy(input) : input);
  if (schema?.type !== "object")
    throw new TypeError(
      `The tool ${name} needs the JSON Schema of an object: give it as \`schema\` beside the validator.`,
    );
  return {
    name,
    description,
    input: JSON.parse(JSON.stringify(schema)) as object,
    lock: readOnly ? "shared" : "exclusive",
    tier: definition.tier ?? (readOnly ? "repeatable" : "irreversible"),
    check: async (value) => {
      if (!isStandard(input)) {
        const wrong = misfitOf(input, value);
        return wrong ? `The input of ${name} does not fit: ${wrong}.` : { input: value };
      }
      const checked = await input["~standard"].validate(value);
      if (!checked.issues) return { input: checked.value };
      const told = checked.issues.slice(0, 5).map(({ message, path = [] }) => {
        const at = path.map((part) => String(typeof part === "object" ? part.key : part)).join(".");
        return at === "" ? message : `${at}: ${message}`;
      });
      return `The input of ${name} does not fit: ${told.join("; ")}.`;
    },
    run: async (value, { signal, key }) => {
      try {
        const given = await run(value as Given, { signal, key });
        const text = typeof given === "string" ? given : given === undefined ? "done" : JSON.stringify(given);
        return { status: "done", text: text === "" ? "(no output)" : text };
      } catch (error) {
        const words = error instanceof Error ? error.message : String(error);
        return { status: signal.aborted ? "aborted" : "failed", text: words === "" ? "It failed." : words };
      }
    },
  };
}

const isStandard = <T>(input: JsonSchema | StandardSchema<T>): input is StandardSchema<T> => "~standard" in input;

/** The JSON Schema that a validator tells itself, as newer ones do. */
function toldBy(input: StandardSchema): JsonSchema | undefined {
  const { jsonSchema } = input["~standard"] as { jsonSchema?: { input(options: { target: string }): unknown } };
  return jsonSchema?.input({ target: "draft-2020-12" }) as JsonSchema | undefined;
}
