/**
 * Which addresses a name may lead to. A name is resolved once, here, and the connection is made to an address that was looked at: a name that
 * answers otherwise the next time (DNS rebinding) leads nowhere else.
 */
import { BlockList, isIP, isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";

export type Kind = "public" | "private" | "local" | "special";

const list = (...ranges: readonly string[]): BlockList => {
  const found = new BlockList();
  for (const range of ranges) {
    const [address, bits] = range.split("/") as [string, string];
    found.addSubnet(address, Number(bits), isIPv6(address) ? "ipv6" : "ipv4");
  }
  return found;
};

/** Networks of homes and firms. */
const PRIVATE = list("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fec0::/10");
const LOCAL = list("127.0.0.0/8", "::1/128", "0.0.0.0/8", "::/128");
/** Link-local (with the metadata of clouds), multicast, reserved, examples, and ways around. */
const SPECIAL = list(
  ...["169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24"],
  ...["203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "fe80::/10", "ff00::/8", "2001::/23", "2001:db8::/32"],
  ...["64:ff9b:1::/48", "100::/64", "5f00::/16", "168.63.129.16/32"],
);
/** Addresses of version 6 that have one of version 4 in them, and at which 16-bit group it begins. */
const EMBEDDING: ReadonlyArray<[BlockList, number]> = [
  [list("::/96"), 6],
  [list("::ffff:0:0/96"), 6],
  [list("::ffff:0:0:0/96"), 6],
  [list("::5efe:0:0/96"), 6],
  [list("64:ff9b::/96"), 6],
  [list("2002::/16"), 1],
];

/** The eight groups of an address of version 6. */
function groups(address: string): number[] {
  const [head, tail] = address
    .replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => `${word(a, b)}:${word(c, d)}`)
    .split("::")
    .map((part) => (part === "" ? [] : part.split(":").map((each) => Number.parseInt(each, 16))));
  return tail ? [...head!, ...Array(8 - head!.length - tail.length).fill(0), ...tail] : head!;
}
const word = (high: string, low: string): string => (Number(high) * 256 + Number(low)).toString(16);

function embedded(address: string): string | null {
  const at = EMBEDDING.find(([ranges]) => ranges.check(address, "ipv6"))?.[1];
  if (at === undefined) return null;
  const [high, low] = groups(address).slice(at) as [number, number];
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}

/** What kind of address it is, with those that this machine has itself among the local ones. */
export function kindOf(given: string): Kind {
  const address = given.replace(/%.*$/, "");
  const version = isIP(address);
  if (version === 0) return "special";
  const family = version === 6 ? "ipv6" : "ipv4";
  if (LOCAL.check(address, family)) return "local";
  const inner = version === 6 ? embedded(address) : null;
  if (inner !== null) return kindOf(inner);
  if (SPECIAL.check(address, family)) return "special";
  if (Object.values(networkInterfaces()).some((own) => own?.some((each) => each.address === address))) return "local";
  return PRIVATE.check(address, family) ? "private" : "public";
}

/**
 * Whether a host may lead to an address. A public one always; a private one only if the user has named the host; one of this machine only
 * if it is `localhost` or that address that the user has named; all others only if the address was named itself.
 */
export function mayLead(host: string, address: string, named: boolean): boolean {
  if (named && host === address) return true;
  switch (kindOf(address)) {
    case "public":
      return true;
    case "private":
      return named;
    case "local":
      return named && (host === "localhost" || host.endsWith(".localhost"));
    default:
      return false;
  }
}
