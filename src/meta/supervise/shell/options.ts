/** The words of a command as options and what they are about. */
import { type Arg, arg } from "./expand.ts";

export interface Options {
  /** `r`, `force`: without their dashes. */
  has(...names: string[]): boolean;
  /** The last value that one of these was given. */
  value(...names: string[]): Arg | undefined;
  /** All of them. */
  values(...names: string[]): Arg[];
  rest: Arg[];
}

/**
 * @param valued names of options that take a value
 * @param whole whether one dash begins a long option too, as `find -delete`; and whether what follows the first word that is none belongs to that (`stop`)
 */
export function optionsOf(
  args: readonly Arg[],
  valued: readonly string[] = [],
  { whole = false, stop = false }: { whole?: boolean; stop?: boolean } = {},
): Options {
  const seen: { name: string; value?: Arg }[] = [];
  const rest: Arg[] = [];
  for (let at = 0; at < args.length; at++) {
    const word = args[at]!;
    const { text } = word;
    if (text === "--") {
      rest.push(...args.slice(at + 1));
      break;
    }
    if (!/^-./.test(text) || (!stop && /^-\d+$/.test(text))) {
      if (stop) {
        rest.push(...args.slice(at));
        break;
      }
      rest.push(word);
      continue;
    }
    const long = /^--?([^=]+)(?:=(.*))?$/s.exec(text)!;
    if (text.startsWith("--") || whole) {
      if (long[2] !== undefined) seen.push({ name: long[1]!, value: { ...word, text: long[2] } });
      else if (valued.includes(long[1]!) && args[at + 1]) seen.push({ name: long[1]!, value: args[++at]! });
      else seen.push({ name: long[1]! });
      continue;
    }
    for (let k = 1; k < text.length; k++) {
      const name = text[k]!;
      if (!valued.includes(name)) {
        seen.push({ name });
        continue;
      }
      const value = k + 1 < text.length ? { ...word, text: text.slice(k + 1) } : args[++at];
      seen.push({ name, value: value ?? arg("") });
      break;
    }
  }
  const of = (names: readonly string[]): typeof seen => seen.filter(({ name }) => names.includes(name));
  return {
    has: (...names) => of(names).length > 0,
    value: (...names) => of(names).findLast(({ value }) => value)?.value,
    values: (...names) => of(names).flatMap(({ value }) => value ?? []),
    rest,
  };
}
