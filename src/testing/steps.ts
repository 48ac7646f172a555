/** What a run did, for assertions. */
import { AssertionError } from "node:assert";
import { isDeepStrictEqual } from "node:util";
import type { Step } from "../agent/run.ts";

/** What `steps` is asked of: a run, or what `open` gives with a name bound. */
export interface HasSteps {
  steps(): Promise<ReadonlyArray<Step>>;
}

/**
 * What a step is to be: its kind (`"model"`), its kind and name (`"tool bash"`, `"effect pay"`), or members that it must have, of which objects may
 * have others besides and a regular expression is met by a text.
 */
export type StepPattern = string | { readonly [member: string]: unknown };

export interface AssertOptions {
  /** Whether there may be no other steps between and beside them. */
  readonly exact?: boolean;
}

/**
 * One line a step, the same for each run that does the same: no ids, no times. For snapshots.
 *
 *     1 model  → I look at the tests.
 *     2 tool bash {"command":"npm test"} → failed: 2 tests fail
 */
export async function told(run: HasSteps): Promise<string[]> {
  return (await run.steps()).map(line);
}

const clip = (text: string): string => {
  const one = text.replace(/\s+/g, " ").trim();
  return one.length > 120 ? `${one.slice(0, 120)}…` : one;
};

function line(step: Step): string {
  const name = "name" in step ? ` ${step.name}` : "";
  const given = "input" in step && step.input != null ? ` ${clip(JSON.stringify(step.input))}` : "";
  const came = "text" in step ? step.text : "output" in step && step.output != null ? JSON.stringify(step.output) : "";
  const status = step.status === "done" ? "" : step.status;
  const result = [status, clip(step.error ?? came)].filter(Boolean).join(": ");
  return `${step.n} ${step.kind}${name}${given}${result && ` → ${result}`}`;
}

/** Asserts that a run has these steps, in this order. Throws an `AssertionError` that shows both. */
export async function assertSteps(
  run: HasSteps,
  patterns: readonly StepPattern[],
  { exact = false }: AssertOptions = {},
): Promise<void> {
  const steps = await run.steps();
  let at = 0;
  for (const [index, pattern] of patterns.entries()) {
    if (exact) {
      if (!steps[at] || !meets(steps[at]!, pattern)) throw wrong(steps, patterns, `is not what step ${at} is`, index);
    } else {
      while (at < steps.length && !meets(steps[at]!, pattern)) at++;
      if (at === steps.length) throw wrong(steps, patterns, "is missing", index);
    }
    at++;
  }
  if (exact && at < steps.length)
    throw wrong(steps, patterns, `is the last that is expected, and step ${at} follows`, patterns.length - 1);
}

function wrong(steps: readonly Step[], patterns: readonly StepPattern[], what: string, index: number): AssertionError {
  const expected = patterns.map((pattern) => (typeof pattern === "string" ? pattern : shown(pattern)));
  const which = index < 0 ? "Nothing" : `Step pattern ${index} (${expected[index]})`;
  return new AssertionError({
    message: `${which} ${what}.\nThe run has:\n${steps.map((step) => `  ${line(step)}`).join("\n")}`,
    actual: steps.map(line),
    expected,
    operator: "assertSteps",
    stackStartFn: assertSteps,
  });
}

const shown = (pattern: object): string =>
  JSON.stringify(pattern, (_, value: unknown) => (value instanceof RegExp ? String(value) : value));

function meets(step: Step, pattern: StepPattern): boolean {
  if (typeof pattern === "string") {
    const [kind, name] = pattern.split(" ");
    return step.kind === kind && (name === undefined || ("name" in step && step.name === name));
  }
  return has(step, pattern);
}

function has(value: unknown, pattern: unknown): boolean {
  if (pattern instanceof RegExp) return typeof value === "string" && pattern.test(value);
  if (typeof pattern !== "object" || pattern === null || Array.isArray(pattern))
    return isDeepStrictEqual(value, pattern);
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(pattern).every(([key, each]) => has((value as { [key: string]: unknown })[key], each));
}
