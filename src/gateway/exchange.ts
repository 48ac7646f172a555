/** One model call through the gateway: recorded, sent, and passed back as it comes. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { answerFrom, contentTypeOf } from "./answers.ts";
import { beginAs, gone } from "./client.ts";
import { asksForKey, type Keys, putKey, secretsOf, without } from "./credentials.ts";
import { type Limiter, retryAfter } from "./limiter.ts";
import { Kept, pass, write } from "./pass.ts";
import { type Price, type Prices, priceOf } from "./prices.ts";
import { type Canonical, errorBody, type Members, type Protocol, type Provider } from "./protocol.ts";
import type { Session } from "./session.ts";
import { type Broken, type Measured, Refused, type Turn } from "./turn.ts";
import { type Answer, headersFor, isStale, LONGEST, mayHelp, type Send, type Upstream } from "./upstream.ts";

export interface ExchangeOptions {
  session: Session;
  protocol: Protocol;
  upstream: Upstream;
  /** Behind the upstream's base. */
  path: string;
  send: Send;
  limiter: Limiter;
  prices: Prices;
  keys: Keys;
  /** Ends the exchange from our side. */
  signal: AbortSignal;
}

/** How long another attempt of a call that failed is waited for, in ms, beyond what the provider asks for. */
const HOLD = 45_000;
/** So many kept connections in turn may turn out to be closed. */
const STALE = 3;
const NO_KEY: { [provider in Provider]: string } = {
  anthropic:
    "Shepherd has no key for Anthropic: its environment has no ANTHROPIC_API_KEY, and Claude Code has no login (`claude`, then /login).",
  openai:
    "Shepherd has no key for OpenAI: its environment has no OPENAI_API_KEY, and Codex has no login (`codex login`).",
};

/** Answers with an error as the provider writes it. `once`: asking again cannot help. */
export function refuse(
  response: ServerResponse,
  { provider }: Upstream,
  status: number,
  type: string,
  sentence: string,
  once = true,
): void {
  if (response.headersSent) return void response.destroy();
  const body = Buffer.from(errorBody(provider, type, sentence));
  const headers = { "content-type": "application/json", "content-length": body.length };
  response.writeHead(status, once ? { ...headers, "x-should-retry": "false" } : headers);
  response.end(body);
}

/** Does not reject: what goes wrong is in the step, and told to the client. */
export async function exchange(
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
  options: ExchangeOptions,
): Promise<void> {
  const { session, protocol, upstream, keys, limiter } = options;
  const begun = performance.now();
  const measured: Measured = { ms: 0 };
  const now = (): Measured => ({ ...measured, ms: Math.round(performance.now() - begun) });
  let canonical: Canonical;
  try {
    canonical = protocol.canonical(JSON.parse(body.toString("utf8")) as Members);
  } catch {
    const sentence = "Shepherd cannot read this request, so it cannot record it, and does not pass it on.";
    return refuse(response, upstream, 400, "invalid_request_error", sentence);
  }
  const headers = headersFor(request.headers);
  const { key, to } = await putKey(headers, upstream, keys);
  if (!key && upstream.own && asksForKey(request.headers))
    return refuse(response, upstream, 401, "authentication_error", NO_KEY[upstream.provider]);
  const secrets = secretsOf(headers, keys.env);

  const left = gone(request, response);
  const signal = AbortSignal.any([options.signal, left]);
  let turn: Turn;
  try {
    const known = await session.onRecord(canonical);
    if (known) {
      response.writeHead(200, { "content-type": contentTypeOf(known) });
      return void response.end(known);
    }
    const price: Price | null = priceOf(canonical.model, options.prices);
    turn = await session.ask(canonical, price, signal);
  } catch (error) {
    if (error instanceof Refused) return refuse(response, upstream, 402, "billing_error", error.message);
    const sentence = `Shepherd could not record this request, so it was not sent: ${(error as Error).message}`;
    // Of an error of the server's agents say that it soon passes.
    return refuse(response, upstream, 400, "invalid_request_error", sentence);
  }

  const kept = new Kept();
  const text = (): string => without(kept.bytes().toString("utf8"), secrets);
  const broke = (why: string, how: Partial<Broken> = {}): Promise<void> =>
    turn.broke(without(why, secrets), { raw: Buffer.from(text()), ...how, measured: now() });
  try {
    const { recorded } = turn;
    const waited = recorded ? 0 : await limiter.pass(to.base.host, signal);
    if (waited > 0) measured.waited = waited;
    const outgoing = { method: "POST", path: options.path, headers, body, turn, signal };
    const send = async (tries: number): Promise<Answer> => {
      try {
        return await options.send(to, outgoing);
      } catch (error) {
        if (!isStale(error) || signal.aborted || tries === 0) throw error;
        await broke("A connection that was kept is closed.", { holdMs: HOLD });
        if (!(await turn.again())) throw error;
        return send(tries - 1);
      }
    };
    let answer = recorded ? answerFrom(recorded) : await send(STALE);
    // Of a login whose token ended before its time: one more attempt with a new one.
    const renewed = answer.statusCode === 401 ? ((await key?.renew?.()) ?? null) : null;
    if (renewed) {
      secrets.push(...secretsOf(renewed.headers, {}));
      Object.assign(headers, renewed.headers);
      for await (const chunk of answer as AsyncIterable<Buffer>) kept.add(chunk);
      await broke(`401: ${text().slice(0, LONGEST)}`, { holdMs: HOLD });
      kept.clear();
      if (!(await turn.again())) throw new Error("Nobody waited for another attempt.");
      answer = await send(STALE);
    }
    const status = answer.statusCode ?? 0;
    const after = retryAfter(answer.headers);
    if ((status === 429 || status === 529) && after !== null) await limiter.hold(to.base.host, after);
    // An agent that has no other key would ask for minutes without a word.
    beginAs(response, answer, status === 401 && key !== null);
    // Not by flushHeaders, which writes bytes beyond ASCII as others.
    response.write(NOTHING);
    if (status < 200 || status > 299) {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        kept.add(chunk);
        await write(response, chunk, signal);
      }
      // Before the client knows that it has all of it, so that it cannot ask again before.
      const again = mayHelp(status, answer) ? { holdMs: HOLD + (after ?? 0) } : {};
      await broke(`${status}: ${text().slice(0, LONGEST)}`, again);
      return void response.end();
    }
    const { whole, reader } = await pass({
      answer,
      response,
      protocol,
      turn,
      kept,
      signal,
      first: () => {
        measured.first = now().ms;
      },
      ended: ({ end }) =>
        end!.error === undefined
          ? turn.end(end!, Buffer.from(text()), now())
          : broke(end!.error, { holdMs: HOLD, usage: end!.usage }),
    });
    if (!whole) await broke("The answer ended before its end.", { holdMs: HOLD, usage: reader.usage });
    else if (reader.id) session.named(reader.id, turn);
    response.end();
  } catch (error) {
    const { message } = error as Error;
    const stopped = signal.aborted;
    const why = left.aborted ? "The client went away." : stopped ? "The gateway was stopped." : message;
    // Where even that cannot be written, the next command ends the step.
    await broke(why, { aborted: stopped, ...(!options.signal.aborted && { holdMs: HOLD }) }).catch(() => {});
    if (response.headersSent || stopped) return void response.destroy();
    const sentence = without(`Shepherd got no answer from ${upstream.base.host}: ${message}`, secrets);
    refuse(response, upstream, 502, "api_error", sentence, false);
  }
}

const NOTHING = Buffer.alloc(0);
