/** In what two requests differ, for a person. */
import type { Item } from "../scope/thread.ts";
import { encodeJson } from "../trace/bytes.ts";
import type { Json } from "../trace/ports.ts";
import type { Canonical } from "./protocol.ts";

export interface Difference {
  /** The part of the request. */
  part: string;
  /** From where they differ; null where one has no such part. */
  was: string | null;
  is: string | null;
}

/** @param byChance what is another each time, and means nothing; global */
export function differences(was: Canonical, is: Canonical, byChance = /(?!)/g): Difference[] {
  const found: Difference[] = [];
  const look = (part: string, ...both: Array<string | null>): void => {
    const [a = null, b = null] = both.map((each) => each?.replace(byChance, "…"));
    if (a === b) return;
    const at = a === null || b === null ? 0 : firstOther(a, b);
    found.push({ part, was: a?.slice(at) ?? null, is: b?.slice(at) ?? null });
  };
  const json = (value: Json | undefined): string | null =>
    value === undefined ? null : encodeJson(value).toString("utf8");
  look("the model", was.model, is.model);
  look("the instructions", json(was.system), json(is.system));
  look("the tools", json(was.tools), json(is.tools));
  for (const name of new Set([...Object.keys(was.params), ...Object.keys(is.params)]))
    look(`the parameter ${name}`, json(was.params[name]), json(is.params[name]));
  for (let at = 0; at < Math.max(was.messages.length, is.messages.length); at++) {
    const [a, b] = [was.messages[at], is.messages[at]];
    look(`message ${at + 1}, ${roleOf((a ?? b)!)},`, told(a), told(b));
  }
  return found;
}

const roleOf = ({ role }: Item): string => (role === "result" ? "a result" : `of the ${role}`);

const told = (item: Item | undefined): string | null => (item ? encodeJson(item).toString("utf8") : null);

/** Where two texts begin to differ, at the beginning of a character. */
function firstOther(a: string, b: string): number {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  const high = a.charCodeAt(at - 1);
  return at > 0 && high >= 0xd800 && high < 0xdc00 ? at - 1 : at;
}
