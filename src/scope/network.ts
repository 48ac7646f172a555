/**
 * What of the network a scope may reach, as its grants say it. A host rule is `NAME`, `NAME:PORT` or `*.NAME[:PORT]`; without a port it means 80
 * and 443. All rules that are kept are in the one form that `hostRule` gives.
 */
/** `gateway`: only the model gateway. `proxy`: also what the egress proxy lets pass. `host`: the network of the machine, which nobody observes. */
export type Network = "gateway" | "proxy" | "host";

export const NETWORKS: readonly Network[] = ["gateway", "proxy", "host"];

/** The smaller of two grants; what is not said is the host's. */
export const lowerNetwork = (a: Network = "host", b: Network = "host"): Network =>
  NETWORKS[Math.min(NETWORKS.indexOf(a), NETWORKS.indexOf(b))]!;

/** Where a connection leads. */
export interface Place {
  /** A name in lower case without a dot at its end, or an address without brackets. */
  host: string;
  port: number;
}

/** Ports of HTTP, which a rule means that names none. */
const USUAL: readonly number[] = [80, 443];

/** Reads `HOST:PORT`, or `HOST` where a port is given besides; null for what is none. */
export function placeOf(authority: string, port?: number): Place | null {
  if (!/^[^\s/@?#\\*]+$/.test(authority)) return null;
  const named = /^(?:\[[^\]]*\]|[^:]*):(\d{1,5})$/.exec(authority)?.[1];
  const at = named === undefined ? port : Number(named);
  // The parser knows the many ways to write one address and one international name.
  if (at === undefined || at < 1 || at > 65535 || !URL.canParse(`http://${authority}`)) return null;
  const host = new URL(`http://${authority}`).hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
  return isAddress(host) || isName(host) ? { host, port: at } : null;
}

/** Of what the parser has let pass. */
const isAddress = (host: string): boolean => host.includes(":") || /^\d+(\.\d+){3}$/.test(host);

const isName = (host: string): boolean => host.length <= 253 && /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/.test(host);

const written = (host: string): string => (host.includes(":") ? `[${host}]` : host);

export const authorityOf = ({ host, port }: Place): string => `${written(host)}:${port}`;

/** A rule in the form in which rules are kept; null for what is none. */
export function hostRule(text: string): string | null {
  const wild = text.startsWith("*.");
  // An address of version 6 may come without its brackets.
  const rest = wild ? text.slice(2) : /^[^[]*:[^[]*:/.test(text) ? `[${text}]` : text;
  const place = placeOf(rest, USUAL[0]);
  if (!place || (wild && isAddress(place.host))) return null;
  const hasPort = /^(?:\[[^\]]*\]|[^:]*):\d+$/.test(rest);
  return `${wild ? "*." : ""}${written(place.host)}${hasPort ? `:${place.port}` : ""}`;
}

/** The rule that a refusal names: it lets this place pass, and no more than its like. */
export const ruleFor = ({ host, port }: Place): string =>
  USUAL.includes(port) ? written(host) : authorityOf({ host, port });

interface Rule {
  wild: boolean;
  host: string;
  port: number | null;
}

function parsed(rule: string): Rule {
  const [, wild, host, port] = /^(\*\.)?(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(rule) ?? [];
  return { wild: wild !== undefined, host: host!.replace(/^\[|\]$/g, ""), port: port ? Number(port) : null };
}

/** How a rule means a place: by its name, by a wildcard, or not at all. */
export function meant(rule: string, { host, port }: Place): "name" | "wildcard" | null {
  const known = parsed(rule);
  if (known.port === null ? !USUAL.includes(port) : known.port !== port) return null;
  if (known.wild) return host.endsWith(`.${known.host}`) ? "wildcard" : null;
  return known.host === host ? "name" : null;
}

/** Whether all that `asked` means is meant by `rule`. */
export function covers(rule: string, asked: string): boolean {
  const [a, b] = [parsed(rule), parsed(asked)];
  if (a.port === null ? b.port !== null && !USUAL.includes(b.port) : a.port !== b.port) return false;
  if (!a.wild) return !b.wild && a.host === b.host;
  return b.host.endsWith(`.${a.host}`) || (b.wild && b.host === a.host);
}
