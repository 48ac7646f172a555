/** Tools that a program brings: `tool({…})`. They run in that program, and not in the sandbox. */
import type { Tier } from "../../trace/frame.ts";
import type { Json } from "../../trace/ports.ts";
import { Invalid } from "../errors.ts";
import { type Schema, validated } from "../schema.ts";
import { misfitOf } from "./jsonschema.ts";
import type { Tool } from "./tool.ts";

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
  input: JsonSchema | Schema<unknown, Given>;
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

/** A tool of the agent's. Throws `Invalid` where the definition does not fit. */
export function tool<Given = { [name: string]: Json }>(definition: ToolDefinition<Given>): Tool {
  const { name, description, input, readOnly = false, run } = definition;
  if (!/^[\w-]{1,64}$/.test(name))
    throw new Invalid(`A tool needs a name of letters, digits, - and _, 64 at most, not ${JSON.stringify(name)}.`);
  const schema = definition.schema ?? (isStandard(input) ? toldBy(input) : input);
  if (schema?.type !== "object")
    throw new Invalid(
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
      const checked = await validated(input, value);
      return "value" in checked ? { input: checked.value } : `The input of ${name} does not fit: ${checked.wrong}.`;
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

const isStandard = <T>(input: JsonSchema | Schema<unknown, T>): input is Schema<unknown, T> => "~standard" in input;

/** The JSON Schema that a validator tells itself, as newer ones do. */
function toldBy(input: Schema): JsonSchema | undefined {
  const { jsonSchema } = input["~standard"] as { jsonSchema?: { input(options: { target: string }): unknown } };
  return jsonSchema?.input({ target: "draft-2020-12" }) as JsonSchema | undefined;
}
