/** Steps of a run for a model: one line each. */
import type { Step } from "../agent/run.ts";
import { cut, quoted } from "./quote.ts";

/** So much of each text is told, in characters. */
const MOST_WORDS = 400;

/** One step on one line. What the worker wrote is quoted. */
export function lineOf(step: Step): string {
  const words = (value: unknown): string => quoted(value, MOST_WORDS);
  const named =
    "name" in step ? ` ${step.name}(${typeof step.input === "string" ? words(step.input) : unquoted(step.input)})` : "";
  const said = "text" in step ? step.text : "output" in step ? step.output : undefined;
  const error = step.error === null ? "" : ` error ${words(step.error)}`;
  return `${step.n} ${step.kind} ${step.status}${named}${said === undefined || said === "" ? "" : ` → ${words(said)}`}${error}`;
}

/** JSON is a quotation already. */
const unquoted = (value: unknown): string => cut(JSON.stringify(value) ?? "", MOST_WORDS);
