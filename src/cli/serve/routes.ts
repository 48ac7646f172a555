/** What can be asked for: the verbs as they are, and what only a process that lives long can do. */
import { endOf, type Line } from "./answer.ts";
import type { Request, Route, Serving } from "./request.ts";
import { act, grade, step } from "./steps.ts";
import { VERB_ROUTES } from "./verbs.ts";
import { head, observe, stop, wait } from "./watch.ts";

/** Those that may take as long as somebody else likes: they are no operation that a collection waits for. */
const LONG: { [name: string]: Route } = { observe, wait, stop };

const SHORT: { [name: string]: Route } = {
  step,
  act,
  grade,
  head,
  ...VERB_ROUTES,
};

export const ROUTES: ReadonlySet<string> = new Set([...Object.keys(LONG), ...Object.keys(SHORT)]);

/** Answers a request: lines, the last of which tells how it ended. */
export async function answer(serving: Serving, name: string, request: Request): Promise<void> {
  let lines: Line[] | null = null;
  const end = await endOf(async () => {
    const work = (): ReturnType<Route> => (LONG[name] ?? SHORT[name]!)(serving, request);
    const done = await (LONG[name] ? work() : serving.during(work));
    if (!Array.isArray(done)) return done;
    lines = done;
    return 0;
  }, request.signal);
  for (const line of lines ?? [end]) await request.send(line);
}
