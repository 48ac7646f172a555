/** What the options of `run` say about the network. */
import { classOf } from "../gateway/egress/classes.ts";
import type { Task } from "../run/start.ts";
import { detect } from "../scope/exec/abilities.ts";
import { hostRule, lowerNetwork, NETWORKS, placeOf } from "../scope/network.ts";
import { type Grants, mayReach } from "../scope/registry.ts";
import { Exit } from "./errors.ts";
import { choice, type Flags, list } from "./verb.ts";

/** What they grant. Throws where that is nothing, or cannot be held here. */
export async function networkOf(flags: Flags, task: Task): Promise<Pick<Grants, "network" | "hosts">> {
  const how = choice(flags, "network", NETWORKS);
  const named = list(flags, "allow-host");
  if (how === undefined && named.length === 0) return {};
  const flag = how === undefined ? "--allow-host" : "--network";
  if (task.worker !== "plugin")
    throw new Exit(
      2,
      `${flag} is for coding agents (\`shepherd run claude "TASK"\`): all else has the machine's network.`,
    );
  if (how !== undefined && how !== "proxy" && named.length > 0)
    throw new Exit(2, `--allow-host goes with --network proxy: leave out --network ${how}.`);
  const hosts = named.map((each) => {
    const rule = hostRule(each);
    if (!rule) throw new Exit(2, `--allow-host takes NAME, NAME:PORT or *.NAME, not ${JSON.stringify(each)}.`);
    return rule;
  });
  const { samePath, why } = how === "host" ? { samePath: true } : await detect();
  if (!samePath) throw new Exit(4, `${flag} cannot be held on this machine. ${why}`);
  return { network: how ?? "proxy", ...(hosts.length > 0 && { hosts: [...new Set(hosts)].sort() }) };
}

/** Throws where what goes on from a run asks for more than that has. */
export function checkNoMore(name: string, parent: Grants, asked: Grants): void {
  const path = asked.writable.find((each) => !parent.writable.includes(each));
  if (path) throw new Exit(3, `${name} may not write ${path}, so what goes on from it may not either.`);
  if (asked.network && lowerNetwork(parent.network, asked.network) !== asked.network)
    throw new Exit(3, `${name} has --network ${parent.network}, so what goes on from it has no more.`);
  const host = asked.hosts?.find((rule) => !mayReach(parent, rule) && !isKnown(rule));
  if (host) throw new Exit(3, `${name} may not connect to ${host}, so what goes on from it may not either.`);
}

/** Whether every run may connect to it. */
function isKnown(rule: string): boolean {
  const place = placeOf(rule, 443);
  return place !== null && classOf(place) !== "other";
}
