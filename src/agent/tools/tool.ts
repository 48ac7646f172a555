/** What a tool is: what the model is told about it, how it takes part in the scope, and what it does. */
import type { Sandbox } from "../../scope/exec/sandbox.ts";
import type { Tier } from "../../trace/frame.ts";
import type { Json, Link } from "../../trace/ports.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import type { ToolSpec } from "../model.ts";

export interface Input {
  [name: string]: Json;
}

export interface Tool extends ToolSpec {
  /** What `check` takes; an `InputSchema` without one. */
  input: object;
  /** The input as the tool takes it, or a sentence that says what does not fit. Without it the schema says so. */
  check?(input: Json): Fitting | string | Promise<Fitting | string>;
  /** `shared` for a tool that changes no file: its calls run beside each other. */
  lock: "shared" | "exclusive";
  tier: Tier;
  /** Members of the input that are content: they may hold NUL characters, as no path and no command can. */
  content?: readonly string[];
  /**
   * Performs a call whose input fits the schema. What goes wrong with the call is a result for the model; an error that is thrown says
   * that the host or the store is unfit, and ends the run with the call still open.
   */
  run(input: Input, context: ToolContext): Promise<ToolResult>;
}

export interface Fitting {
  input: unknown;
}

export interface ToolContext {
  store: EmbeddedStore;
  /** Name of the run whose call it is. */
  run: string;
  /** Where the scope's commands run. Throws if the scope has no files. */
  sandbox(): Promise<Sandbox>;
  /** The shell of the thread as the calls before this one left it; null for one that has not been used. */
  shell: Link | null;
  /** The workspace, as the scope's commands see it. */
  home: string;
  /** Where a shell that has not been used starts, relative to `home`; there without it. */
  at?: string | undefined;
  /** The same for each attempt of this call, and for no other call. */
  key: string;
  signal: AbortSignal;
}

export interface ToolResult {
  status: "done" | "failed" | "aborted";
  /** What the model is told; `clip` shortens it where it is too long. */
  text: string;
  /** How the model gets at what was left out, as a sentence. */
  more?: string;
  /** The output in full; the text without it. */
  output?: Uint8Array;
  /** The shell of the thread, where the call has changed it. */
  shell?: Link;
  facts?: { [key: string]: Json };
}

/** The part of JSON Schema that inputs of our tools need. */
export interface InputSchema {
  type: "object";
  properties: { [name: string]: Property };
  required: string[];
  additionalProperties: false;
}

export type Property = {
  type: "string" | "integer" | "boolean";
  description: string;
  minimum?: number;
  maximum?: number;
};

/** A schema in which every property is required that is not named in `optional`. */
export const schema = (properties: { [name: string]: Property }, optional: readonly string[] = []): InputSchema => ({
  type: "object",
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  additionalProperties: false,
});

/** The input if it fits, else a sentence that says what does not. */
export function checkInput(tool: Pick<Tool, "name" | "content"> & { input: InputSchema }, input: Json): Input | string {
  if (typeof input !== "object" || input === null || Array.isArray(input))
    return `The input of ${tool.name} must be an object.`;
  const { properties, required } = tool.input;
  for (const name of required)
    if (input[name] === undefined) return `The input of ${tool.name} lacks ${JSON.stringify(name)}.`;
  for (const [name, value] of Object.entries(input)) {
    if (!Object.hasOwn(properties, name))
      return `The input of ${tool.name} has an unknown member ${JSON.stringify(name)}; it takes ${Object.keys(properties).join(", ")}.`;
    const wrong = misfit(properties[name]!, value);
    if (typeof value === "string" && value.includes("\0") && !tool.content?.includes(name))
      return `In the input of ${tool.name}, ${JSON.stringify(name)} must not hold NUL characters.`;
    if (wrong) return `In the input of ${tool.name}, ${JSON.stringify(name)} must be ${wrong}.`;
  }
  return input;
}

/** What a value must be and is not; null if it fits. */
function misfit(property: Property, value: Json): string | null {
  const { type, minimum, maximum } = property;
  if (type === "boolean") return typeof value === "boolean" ? null : "true or false";
  if (type === "integer") {
    const fits =
      Number.isSafeInteger(value) &&
      (value as number) >= (minimum ?? Number.MIN_SAFE_INTEGER) &&
      (value as number) <= (maximum ?? Number.MAX_SAFE_INTEGER);
    return fits
      ? null
      : `a whole number${minimum === undefined ? "" : ` from ${minimum}`}${maximum === undefined ? "" : ` to ${maximum}`}`;
  }
  return typeof value === "string" ? null : "text";
}
