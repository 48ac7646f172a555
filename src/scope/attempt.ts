/** Attempts of a step: one intent, any number of attempts, one outcome. The first is not told by a part. */
import type { Effect } from "./effect.ts";
import { idempotencyKey, type LiveScope } from "./scope.ts";
import { putBytes } from "./thread.ts";

/** Writes that the running attempt of step `n` came to nothing, and that the next begins. Gives its number. */
export async function nextAttempt(scope: LiveScope, n: number, why: string): Promise<number> {
  const attempt = scope.writer.fold.steps.get(n)?.attempts ?? 1;
  const reason = await putBytes(scope.store, Buffer.from(why));
  await scope.writer.part(n, { part: "aborted", attempt, why: reason });
  await scope.writer.part(n, { part: "attempt", attempt: attempt + 1 });
  return attempt + 1;
}

/** The effect as it is performed again; the attempt is written down when it begins, so not while the step waits for the lock. */
export const attemptedAgain = (scope: LiveScope, effect: Effect, why: string): Effect => ({
  ...effect,
  run: async (attempt) => {
    await nextAttempt(scope, attempt.n, why);
    const key = idempotencyKey(scope.ref.log, scope.writer.fold.steps.get(attempt.n)!);
    return effect.run({ ...attempt, key });
  },
});
