/** What the options of `gateway` say. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Budget } from "../gateway/budget.ts";
import type { GatewayOptions } from "../gateway/gateway.ts";
import { PRICES, type Prices, readPrices } from "../gateway/prices.ts";
import type { Provider } from "../gateway/protocol.ts";
import { exclusiveBy, sharedLimiter } from "../gateway/shared.ts";
import { type Upstream, upstreamOf } from "../gateway/upstream.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { Exit } from "./errors.ts";
import { type Context, count, type Flags, text } from "./verb.ts";

export function budgetOf(flags: Flags): Budget {
  const usd = text(flags, "budget");
  const calls = count(flags, "max-calls", 1);
  if (usd !== undefined && !(/^\$?\d+(\.\d+)?$/.test(usd) && Number(usd.replace("$", "")) > 0))
    throw new Exit(2, `--budget takes US dollars, not ${JSON.stringify(usd)}.`);
  return {
    ...(usd !== undefined && { usd: Number(usd.replace("$", "")) }),
    ...(calls !== undefined && { calls }),
  };
}

export function pricesOf({ cwd }: Context, file: string | undefined): Prices {
  if (file === undefined) return PRICES;
  try {
    return { ...PRICES, ...readPrices(readFileSync(resolve(cwd, file), "utf8")) };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why =
      error instanceof SyntaxError ? "is no JSON" : code ? `cannot be read (${code})` : `does not fit: ${message}`;
    throw new Exit(2, `--prices ${file} ${why}.`);
  }
}

export function upstreamsOf(given: string[]): { [provider in Provider]: Upstream } {
  const named: { [provider in Provider]?: string } = {};
  for (const each of given) {
    const match = /^(anthropic|openai)=(.+)$/s.exec(each);
    if (!match) throw new Exit(2, "--upstream takes anthropic=URL or openai=URL.");
    named[match[1] as Provider] = match[2]!;
  }
  try {
    const of = (provider: Provider): Upstream => upstreamOf(provider, process.env, named[provider]);
    return { anthropic: of("anthropic"), openai: of("openai") };
  } catch (error) {
    throw new Exit(2, (error as Error).message);
  }
}

/** What all gateways on a store have in common: they wait for a provider together, and one renews a login for all. */
export const togetherIn = (store: EmbeddedStore): Pick<GatewayOptions, "limiter" | "exclusive"> => ({
  limiter: sharedLimiter(store.cache("limits")),
  exclusive: exclusiveBy(store.leases),
});
