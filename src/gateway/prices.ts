/** What tokens cost, in US dollars for a million of them. A model that is not listed has no price, and none is guessed. */
import type { Usage } from "./protocol.ts";

export interface Price {
  input: number;
  output: number;
  /** Read from a cache; as `input` where it is not given. */
  cacheRead?: number;
  /** Written into a cache for minutes, for an hour; as `input` where they are not given. */
  cacheWrite?: number;
  cacheWriteHour?: number;
  /** What holds in place of that for all of a call whose prompt has more tokens than `beyond`. */
  long?: { beyond: number } & Omit<Price, "long">;
}

export type Prices = { [model: string]: Price };

/** Anthropic's rule: reading costs a tenth (of newer models less), writing a quarter more than input, for an hour the double. */
const claude = (input: number, output: number, read = 0.1): Price => ({
  input,
  output,
  cacheRead: Number((input * read).toFixed(6)),
  cacheWrite: input * 1.25,
  cacheWriteHour: input * 2,
});
const gpt = (input: number, output: number, cacheRead: number): Price => ({ input, output, cacheRead });

/** As published: those of Claude in November 2026, the others at the end of 2025. `--prices FILE` puts others beside or in place of them. */
export const PRICES: Prices = {
  "claude-fable-5-1": claude(10, 50, 0.025),
  "claude-fable-5": claude(10, 50),
  "claude-opus-5-5": claude(4, 20, 0.05),
  "claude-opus-5": claude(5, 25),
  "claude-opus-4-8": claude(5, 25),
  "claude-opus-4-7": claude(5, 25),
  "claude-opus-4-6": claude(5, 25),
  "claude-sonnet-5-5": claude(2, 10, 0.05),
  "claude-sonnet-5": claude(2, 10),
  "claude-sonnet-4-6": claude(3, 15),
  "claude-haiku-5-5": { ...claude(0.1, 0.5), long: { beyond: 100_000, ...claude(0.5, 2.5) } },
  "claude-opus-4-5": claude(5, 25),
  "claude-opus-4-1": claude(15, 75),
  "claude-opus-4": claude(15, 75),
  "claude-sonnet-4-5": claude(3, 15),
  "claude-sonnet-4": claude(3, 15),
  "claude-haiku-4-5": claude(1, 5),
  "claude-3-5-haiku": claude(0.8, 4),
  "claude-3-haiku": claude(0.25, 1.25),
  "gpt-5": gpt(1.25, 10, 0.125),
  "gpt-5-codex": gpt(1.25, 10, 0.125),
  "gpt-5-mini": gpt(0.25, 2, 0.025),
  "gpt-5-nano": gpt(0.05, 0.4, 0.005),
  "gpt-5.1": gpt(1.25, 10, 0.125),
  "gpt-5.1-codex": gpt(1.25, 10, 0.125),
  "gpt-4.1": gpt(2, 8, 0.5),
  "gpt-4.1-mini": gpt(0.4, 1.6, 0.1),
  "gpt-4.1-nano": gpt(0.1, 0.4, 0.025),
  "gpt-4o": gpt(2.5, 10, 1.25),
  "gpt-4o-mini": gpt(0.15, 0.6, 0.075),
  o3: gpt(2, 8, 0.5),
  "o4-mini": gpt(1.1, 4.4, 0.275),
};

/** A name that only adds a date, or says that it is the newest, has the price of the name. */
const DATED = /-(\d{8}|\d{4}-\d{2}-\d{2}|latest|0)$/;

export function priceOf(model: string, prices: Prices = PRICES): Price | null {
  const find = (name: string): Price | null => (Object.hasOwn(prices, name) ? prices[name]! : null);
  return find(model) ?? find(model.replace(DATED, ""));
}

/** What a call cost, in dollars. */
export function costOf({ long, ...short }: Price, usage: Usage): number {
  const prompt = usage.input + usage.cacheRead + usage.cacheWrite;
  const price = long && prompt > long.beyond ? long : short;
  const { input, output, cacheRead = input, cacheWrite = input, cacheWriteHour = cacheWrite } = price;
  const hour = Math.min(usage.cacheWriteHour ?? 0, usage.cacheWrite);
  const million =
    usage.input * input +
    usage.output * output +
    usage.cacheRead * cacheRead +
    (usage.cacheWrite - hour) * cacheWrite +
    hour * cacheWriteHour;
  return Number((million / 1e6).toFixed(9));
}

/** Reads a table of prices. Throws a sentence where it is none. */
export function readPrices(text: string): Prices {
  const table: unknown = JSON.parse(text);
  if (typeof table !== "object" || table === null || Array.isArray(table)) throw new Error("it is no object of models");
  for (const [model, price] of Object.entries(table as { [model: string]: Partial<Price> | null })) {
    const long = price?.long;
    const numbers = [price?.input, price?.output, ...(long ? [long.beyond, long.input, long.output] : [])];
    const more = [price, long].flatMap((each) => [each?.cacheRead, each?.cacheWrite, each?.cacheWriteHour]);
    if (
      ![...numbers, ...more.filter((each) => each !== undefined)].every((each) => typeof each === "number" && each >= 0)
    )
      throw new Error(`${JSON.stringify(model)} needs "input" and "output", in dollars for a million tokens`);
  }
  return table as Prices;
}
