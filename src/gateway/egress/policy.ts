/** Whether a connection may be made, before its first byte. */
import { authorityOf, meant, type Place, ruleFor } from "../../scope/network.ts";
import type { Grants } from "../../scope/registry.ts";
import type { Tier } from "../../trace/frame.ts";
import { type Class, classOf, tierOfClass } from "./classes.ts";

export interface Verdict {
  allowed: boolean;
  class: Class;
  tier: Tier;
  /** Whether the user has named this very host, and not only its like: then it may lead into a private network. */
  named: boolean;
  /** Why not, and what allows it. */
  sentence: string;
}

/** What its grants say of a place; names of the known kinds need none. */
export function judge(place: Place, { network = "host", hosts = [] }: Grants): Verdict {
  const kind = classOf(place);
  const how = network === "proxy" ? hosts.map((rule) => meant(rule, place)) : [];
  const allowed = network === "proxy" && (kind !== "other" || how.some(Boolean));
  const flag = network === "proxy" ? `--allow-host ${ruleFor(place)}` : "--network proxy";
  return {
    allowed,
    class: kind,
    tier: tierOfClass(kind),
    named: how.includes("name"),
    sentence: `The run may not connect to ${authorityOf(place)}: start it with \`shepherd run ${flag}\` to allow it.`,
  };
}
