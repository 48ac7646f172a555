/** What goes into an agent and what comes out of it: Standard Schema, version 1, so that any validator that follows it fits. */
import { decodeJson, encodeJson } from "../trace/bytes.ts";
import type { Json } from "../trace/ports.ts";
import { Invalid } from "./errors.ts";

/** A validator: `Input` is what is given to it, `Output` what it makes of that. */
export interface Schema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Checked<Output> | Promise<Checked<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

type Checked<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: ReadonlyArray<Issue> };

interface Issue {
  readonly message: string;
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined;
}

type Types<S extends Schema> = NonNullable<S["~standard"]["types"]>;
export type InputOf<S extends Schema> = Types<S>["input"];
export type OutputOf<S extends Schema> = Types<S>["output"];

/** The value that a schema makes of what it is given, or what is wrong with that. */
export async function validated(schema: Schema, value: unknown): Promise<{ value: unknown } | { wrong: string }> {
  let checked: Checked<unknown>;
  try {
    checked = await schema["~standard"].validate(value);
  } catch (error) {
    return { wrong: `the schema failed: ${error instanceof Error ? error.message : String(error)}` };
  }
  return checked.issues ? { wrong: checked.issues.slice(0, MOST).map(wordsOf).join("; ") } : { value: checked.value };
}

/** So many things that are wrong are told at once. */
const MOST = 10;

function wordsOf({ message, path = [] }: Issue): string {
  const at = path.map((part) => String(typeof part === "object" ? part.key : part)).join(".");
  return at === "" ? message : `${at}: ${message}`;
}

/** A record of schemas as a schema of records: for an agent that takes several things, runs of other agents among them. */
export function inputs<R extends { readonly [name: string]: Schema }>(
  members: R,
): Schema<{ [K in keyof R]: InputOf<R[K]> }, { [K in keyof R]: OutputOf<R[K]> }> {
  const validate = async (value: unknown): Promise<Checked<{ [K in keyof R]: OutputOf<R[K]> }>> => {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return { issues: [{ message: `must be an object with ${Object.keys(members).join(", ")}` }] };
    const given = value as { [name: string]: unknown };
    const issues: Issue[] = Object.keys(given)
      .filter((name) => !Object.hasOwn(members, name))
      .map((name) => ({ message: "is not known here", path: [name] }));
    const made: { [name: string]: unknown } = {};
    for (const [name, schema] of Object.entries(members)) {
      const checked = await schema["~standard"].validate(given[name]);
      if (checked.issues)
        issues.push(...checked.issues.map((each) => ({ ...each, path: [name, ...(each.path ?? [])] })));
      else made[name] = checked.value;
    }
    return issues.length > 0 ? { issues } : { value: made as { [K in keyof R]: OutputOf<R[K]> } };
  };
  return { "~standard": { version: 1, vendor: "shepherd", validate } };
}

/** A value as it is written down: what `JSON.stringify` makes of it. Throws `Invalid` where that is none, or has no canonical form. */
export function asJson(value: unknown, what: string): Json {
  try {
    const text = JSON.stringify(value);
    return text === undefined ? null : decodeJson(encodeJson(JSON.parse(text)));
  } catch (error) {
    throw new Invalid(`${what} cannot be written down: ${(error as Error).message}`, {
      hint: "Give plain data: what JSON can hold is what a run can be resumed with.",
    });
  }
}
