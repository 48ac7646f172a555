/** The way out: a name is resolved, what it leads to is looked at, and a connection is made to just that. */
import { promises as dns, type LookupAddress } from "node:dns";
import { connect, isIP, type Socket } from "node:net";
import { authorityOf, type Place, ruleFor } from "../../scope/network.ts";
import { kindOf, mayLead } from "./addresses.ts";

/** Thrown where a place cannot be reached, with the status that says so over HTTP. */
export class Unreachable extends Error {
  constructor(
    readonly status: 403 | 502 | 503 | 504,
    sentence: string,
  ) {
    super(sentence);
  }
}

/** @param named whether the user has named this very host */
export type Reach = (place: Place, named: boolean, signal: AbortSignal) => Promise<Socket>;

export interface ReachOptions {
  lookup?: (host: string) => Promise<LookupAddress[]>;
  /** How long a connection may take, in ms. */
  patience?: number;
}

/** So many names are resolved at once: each takes a thread that reading and writing files need too. */
const LOOKUPS = 2;

export function makeReach({
  lookup = (host) => dns.lookup(host, { all: true, verbatim: true }),
  patience = 30_000,
}: ReachOptions = {}): Reach {
  const resolve = atMost(LOOKUPS, lookup);
  return async (place, named, signal) => {
    const { host, port } = place;
    const family = isIP(host);
    const found = family > 0 ? [{ address: host, family }] : await resolve(host, signal).catch(() => []);
    signal.throwIfAborted();
    if (found.length === 0)
      throw new Unreachable(502, `Shepherd finds no address of ${host}: is the name right, and the network there?`);
    const allowed = found.filter(({ address }) => mayLead(host, address, named));
    if (allowed.length === 0) {
      const { address } = found[0]!;
      // A name may be followed into a private network; what is nearer must be asked for by its address.
      const rule = ruleFor({ host: kindOf(address) === "private" ? host : address, port });
      throw new Unreachable(
        403,
        `${host} leads to ${address}, which is not public: start the run with \`shepherd run --allow-host ${rule}\` to allow that.`,
      );
    }
    return open(place, allowed, AbortSignal.any([signal, AbortSignal.timeout(patience)]));
  };
}

function open(place: Place, addresses: readonly LookupAddress[], signal: AbortSignal): Promise<Socket> {
  const { host, port } = place;
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port,
      // A side that has said all may still listen.
      allowHalfOpen: true,
      noDelay: true,
      // The addresses that were looked at, and no others.
      lookup: (_host, { all }, done) => {
        if (all) (done as (error: null, found: readonly LookupAddress[]) => void)(null, addresses);
        else done(null, addresses[0]!.address, addresses[0]!.family);
      },
    });
    // Who uses it hears of its end.
    socket.on("error", () => {});
    const stop = (): void => void socket.destroy(new Unreachable(504, `${authorityOf(place)} does not answer.`));
    signal.addEventListener("abort", stop, { once: true });
    const settle = (): void => signal.removeEventListener("abort", stop);
    socket.once("connect", () => {
      settle();
      socket.off("error", fail);
      resolve(socket);
    });
    const fail = (error: NodeJS.ErrnoException): void => {
      settle();
      const why = error.code ?? "failed";
      reject(
        error instanceof Unreachable
          ? error
          : new Unreachable(502, `${authorityOf(place)} refuses to connect (${why}).`),
      );
    };
    socket.once("error", fail);
    if (signal.aborted) stop();
  });
}

/** The same, with at most so many under way. Nobody who has gone is waited for. */
function atMost<T>(most: number, work: (of: string) => Promise<T>): (of: string, signal: AbortSignal) => Promise<T> {
  let busy = 0;
  const waiting: Array<() => void> = [];
  const inTurn = async (of: string, signal: AbortSignal): Promise<T> => {
    if (busy >= most) await new Promise<void>((go) => waiting.push(go));
    else busy++;
    try {
      signal.throwIfAborted();
      return await work(of);
    } finally {
      const next = waiting.shift();
      if (next) next();
      else busy--;
    }
  };
  return (of, signal) =>
    new Promise((resolve, reject) => {
      const stop = (): void => reject(signal.reason);
      signal.addEventListener("abort", stop, { once: true });
      inTurn(of, signal)
        .then(resolve, reject)
        .finally(() => signal.removeEventListener("abort", stop));
    });
}
