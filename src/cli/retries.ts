/** What the terminal of a run says when its model is long in coming. */

import { masked } from "../meta/mask.ts";
import type { LiveScope } from "../scope/scope.ts";
import { getBytes } from "../scope/thread.ts";
import type { Frame } from "../trace/frame.ts";
import type { Link } from "../trace/ports.ts";
import { clip, type Output, plain } from "./output.ts";

/** So many attempts come to nothing before anybody is told: most of what fails goes well soon. */
const PATIENCE = 3;
/** So much of what a provider says is told. */
const LONGEST = 200;

/** Takes the frames of a run, in order. Agents ask again for minutes without a word. */
export const retriesOf =
  (out: Pick<Output, "warn">, { ref, store, writer }: LiveScope) =>
  async ({ phase, n, facts }: Frame): Promise<void> => {
    if (phase !== "part" || facts.part !== "aborted" || facts.attempt !== PATIENCE) return;
    if (writer.fold.steps.get(n)?.intent.kind !== "model") return;
    const why = clip(plain(masked((await getBytes(store, facts.why as Link)).toString())), LONGEST);
    out.warn(
      `shepherd: ${ref.name} got no answer from its model ${PATIENCE} times (${why}), and asks again: Ctrl-C stops it, \`shepherd resume ${ref.name}\` goes on.`,
    );
  };
