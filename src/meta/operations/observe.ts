/** The steps of a run, from one on. */
import { setTimeout as sleep } from "node:timers/promises";
import { headIn, stepOf, viewIn } from "../../agent/watching.ts";
import { stateOf } from "../../run/lifecycle.ts";
import { operation, STEP } from "../define.ts";
import { QUOTED } from "../quote.ts";
import { lineOf } from "../steps.ts";

/** So many steps are told at once. */
const MOST_STEPS = 50;
/** So long a look may wait, in ms, and so often it looks. */
const LONGEST = 120_000;
const LOOK = 200;

const AT_WORK = ["running", "paused", "waiting"];

export const observe = operation({
  name: "observe",
  right: "observe",
  brief: `What the run has done: its newest steps, ${MOST_STEPS} at most, each with its number, and whether it is at work. With \`wait_ms\` it waits for something new from step \`from\` on. To see how it stands as a whole, take a snapshot.`,
  properties: {
    from: { ...STEP, description: "Number of the first step that is told: the cursor of the last look." },
    kind: { type: "string", description: "Only steps of this kind: model, tool, effect, message, revert and so on." },
    wait_ms: {
      type: "integer",
      minimum: 0,
      maximum: LONGEST,
      description: "How long to wait at most, in milliseconds.",
    },
  },
  optional: ["from", "kind", "wait_ms"],
  readOnly: true,
  act: async ({ store, name }, { from = 0, kind, wait_ms: waitMs = 0 }, { signal }) => {
    const until = Date.now() + waitMs;
    for (;;) {
      const view = await viewIn(store, name);
      const { state } = await stateOf(store, view);
      const steps = [...view.fold.steps.values()].filter(
        ({ n, intent }) => n >= from && (kind === undefined || intent.kind === kind),
      );
      const over = Date.now() >= until || !AT_WORK.includes(state);
      if (!over && !steps.some(({ outcome }) => outcome !== null)) {
        await sleep(LOOK, undefined, signal ? { signal } : {});
        continue;
      }
      const shown = steps.slice(-MOST_STEPS);
      // What has no outcome yet is told again.
      const open = shown.find(({ outcome }) => outcome === null);
      return {
        run: name,
        state: String(state),
        head: headIn(view)?.n ?? null,
        left: steps.length - shown.length,
        lines: await Promise.all(shown.map(async (step) => lineOf(await stepOf(store, step)))),
        cursor: open?.n ?? (shown.at(-1)?.n ?? from - 1) + 1,
      };
    }
  },
  tell: ({ run, state, head, left, lines, cursor }) =>
    [
      `${run} is ${state}${head === null ? "" : `, at step ${head}`}. Look on with \`from\` ${cursor}.`,
      QUOTED,
      ...(left > 0 ? [`(${left} steps before these)`] : []),
      ...lines,
    ].join("\n"),
});
