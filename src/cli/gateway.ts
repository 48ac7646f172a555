/** What the options of `gateway` say, and what of that a run keeps. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Budget } from "../gateway/budget.ts";
import type { GatewayOptions } from "../gateway/gateway.ts";
import { type Prices, readPrices } from "../gateway/prices.ts";
import type { Provider } from "../gateway/protocol.ts";
import { exclusiveBy, sharedLimiter } from "../gateway/shared.ts";
import { type Upstream, upstreamOf, VARIABLES } from "../gateway/upstream.ts";
import { getBytes } from "../scope/thread.ts";
import { readLog, type View } from "../scope/view.ts";
import { encodeJson, link } from "../trace/bytes.ts";
import type { Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { Exit } from "./errors.ts";
import { type Context, count, type Flags, list, type Option, text } from "./verb.ts";

export const BUDGET: { [flag in "budget" | "max-calls" | "max-tokens"]: Option } = {
  budget: { type: "string", value: "USD", help: "refuse calls once this much is spent" },
  "max-calls": { type: "string", value: "N", help: "refuse calls after N" },
  "max-tokens": { type: "string", value: "N", help: "refuse calls once N tokens were read and written" },
};

/** How a gateway is started, as it is kept for who goes on with its run. */
export interface How {
  /** As they were typed. */
  upstreams: string[];
  budget: Budget;
  /** Beside those that are known. */
  prices: Prices;
}

export const howOf = (context: Context, flags: Flags): How => ({
  upstreams: list(flags, "upstream"),
  budget: budgetOf(flags),
  prices: pricesOf(context, text(flags, "prices")),
});

/** No password may stand in a store: of an address that could have one is kept that there is one. */
const kept = (upstream: string): string => (/[@?]/.test(upstream) ? upstream.replace(/=.*/s, "=") : upstream);

export const putHow = async (store: EmbeddedStore, { upstreams, budget, prices }: How): Promise<Link> =>
  link(
    "json",
    await store.objects.put(
      encodeJson({ type: "gateway", v: 1, upstreams: upstreams.map(kept), budget: { ...budget }, prices }),
    ),
  );

/** How the gateway of a run, or of what that was forked from, was started last; null if it never was. */
export async function howBefore(store: EmbeddedStore, view: View): Promise<(How & { enforced: boolean }) | null> {
  const { notes, header } = view.fold;
  const facts = notes.get("gateway")?.facts;
  if (typeof facts?.how === "string") {
    const { upstreams, ...how } = JSON.parse((await getBytes(store, facts.how as Link)).toString()) as How;
    for (const provider of upstreams.filter((each) => each.endsWith("=")).map((each) => each.slice(0, -1) as Provider))
      if (!process.env[VARIABLES[provider]])
        throw new Exit(
          2,
          `The address that --upstream named for ${provider} may have a password in it and was not kept: name it by ${VARIABLES[provider]}.`,
        );
    return { ...how, upstreams: upstreams.filter((each) => !each.endsWith("=")), enforced: facts.enforced === true };
  }
  return header.origin ? howBefore(store, await readLog(store, header.origin.log)) : null;
}

export function budgetOf(flags: Flags): Budget {
  const usd = text(flags, "budget");
  const calls = count(flags, "max-calls", 1);
  const tokens = count(flags, "max-tokens", 1);
  if (usd !== undefined && !(/^\$?\d+(\.\d+)?$/.test(usd) && Number(usd.replace("$", "")) > 0))
    throw new Exit(2, `--budget takes US dollars, not ${JSON.stringify(usd)}.`);
  return {
    ...(usd !== undefined && { usd: Number(usd.replace("$", "")) }),
    ...(calls !== undefined && { calls }),
    ...(tokens !== undefined && { tokens }),
  };
}

function pricesOf({ cwd }: Context, file: string | undefined): Prices {
  if (file === undefined) return {};
  try {
    return readPrices(readFileSync(resolve(cwd, file), "utf8"));
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
