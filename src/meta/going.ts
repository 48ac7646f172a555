/** Going on with a run for somebody who does not wait for its end: in this process where it knows the agent, else in one of its own. */
import { setTimeout as sleep } from "node:timers/promises";
import { knownDefinition } from "../agent/agent.ts";
import { Conflict, Failed, Invalid } from "../agent/errors.ts";
import { resumed } from "../agent/handle.ts";
import { refOf } from "../agent/watching.ts";
import { type ChildEnd, resumeElsewhere } from "../run/child.ts";
import { taskOf } from "../run/start.ts";
import { Busy } from "../scope/scope.ts";
import type { EmbeddedStore } from "../trace/store.ts";

/** So often it is looked whether it has begun, in ms. */
const LOOK = 20;

/** Resolves once it is driven. Throws `Busy` where somebody drives it already, and a sentence where it cannot go on. */
export async function goOn(
  store: EmbeddedStore,
  name: string,
  options: { instruction?: string; model?: string } = {},
): Promise<void> {
  const { log } = await refOf(store, name);
  const owner = await store.leases.holder(`log/${log}`);
  if (owner) throw new Busy(name, owner.pid);
  const { agent } = await taskOf(store, name);
  const begun = (await store.logs.end(log)).seq;
  const definition = agent && knownDefinition(agent.name);
  let over: { why: Error | null } | null = null;
  if (definition) {
    const { result } = resumed(definition, name, { ...options, store: store.directory }, true);
    result.then(
      () => {
        over = { why: null };
      },
      (why: Error) => {
        over = { why };
      },
    );
  } else {
    const child = resumeElsewhere(store, name, options);
    void child.ended.then((end) => {
      over = { why: refusal(name, end) };
    });
    child.leave();
  }
  for (;;) {
    const ended = over as { why: Error | null } | null;
    if (await store.leases.holder(`log/${log}`)) return;
    if (ended) {
      // It may be done already; who failed before it wrote anything has not begun.
      if (ended.why && (await store.logs.end(log)).seq <= begun) throw ended.why;
      return;
    }
    await sleep(LOOK);
  }
}

/** Why it could not go on; null where its work has ended, in whichever way. */
function refusal(name: string, { code, said }: ChildEnd): Error | null {
  if (code <= 1) return null;
  const why = said || `${name} cannot go on.`;
  return code === 2
    ? new Invalid(why, { run: name })
    : code === 3
      ? new Conflict(why, { run: name })
      : new Failed(why, { run: name });
}
