/** What the terminal of a run says when others hold it back, and when it waits for a person. */
import { waitingIn } from "../run/lifecycle.ts";
import { howEnded, serviceIn } from "../scope/services.ts";
import type { Frame } from "../trace/frame.ts";
import { ring } from "./bell.ts";
import { type Output, plain } from "./output.ts";
import { named } from "./words.ts";

/** Takes the frames of a run, in order. */
export function noticesOf(out: Pick<Output, "warn">, name: string, call = ring): (frame: Frame) => void {
  let waits = false;
  let missed: readonly string[] = [];
  return ({ phase, facts, witness }) => {
    if (phase === "note" && facts.note === "run" && (facts.state === "paused" || facts.state === "resumed")) {
      const by = plain(String(witness?.by ?? "somebody"));
      if (facts.state === "resumed") out.warn(`shepherd: ${name} goes on (${by}).`);
      else out.warn(`shepherd: ${name} is paused (${by}): \`shepherd resume ${name}\` goes on.`);
    }
    const service = phase === "note" ? serviceIn(facts.note) : null;
    if (service !== null && facts.state === "ended")
      out.warn(
        `shepherd: The service ${service} of ${name} has ended (${howEnded(facts)}): \`shepherd service ${name} ${service}\` shows what it wrote.`,
      );
    const waiting = waitingIn({ phase, facts } as Frame);
    if (!waiting) return;
    const { steps, gates } = waiting;
    const before = `before step ${steps.join(", ")}`;
    if (steps.length > 0 && !waits) {
      call();
      if (gates.length === 0) out.warn(`shepherd: ${name} waits for a person at its gate, ${before}.`);
    }
    const away = gates.filter((gate) => !missed.includes(gate));
    if (away.length > 0)
      out.warn(
        `shepherd: ${name} waits for its gate${away.length > 1 ? "s" : ""} ${named(away)}, ${before}: \`shepherd gate ${name} --as ${away[0]}\`.`,
      );
    missed = gates;
    waits = steps.length > 0;
  };
}
