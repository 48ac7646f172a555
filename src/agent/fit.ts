/** Whether what goes in and what comes out fits a definition. */
import type { Json } from "../trace/ports.ts";
import type { Definition } from "./agent.ts";
import { Invalid } from "./errors.ts";
import { validated } from "./schema.ts";

/** What a schema makes of an input. Throws `Invalid` where that does not fit. */
export async function fitInput({ name, input }: Definition, given: unknown): Promise<unknown> {
  if (!input) {
    if (given !== null) throw new Invalid(`${name} takes no input: give it a schema, or call it without.`);
    return undefined;
  }
  const checked = await validated(input, given);
  if ("wrong" in checked) throw new Invalid(`The input of ${name} does not fit: ${checked.wrong}.`);
  return checked.value;
}

/** What a schema makes of a result. */
export async function outputOf({ name, output }: Definition, json: Json, run: string): Promise<unknown> {
  if (!output) return json;
  const checked = await validated(output, json);
  if ("wrong" in checked) throw new Invalid(`The output of ${name} does not fit: ${checked.wrong}.`, { run });
  return checked.value;
}
