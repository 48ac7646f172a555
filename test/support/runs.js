/** Whether the full counts with fresh seeds are asked for (`npm run test:long`). */
export const long = process.env.SHEPHERD_LONG === "1";
/** The seed of this run: fixed for `npm test`, fresh (and printed) for `npm run test:long`. */
export const seed = Number(process.env.SHEPHERD_SEED ?? 20260513);
/** `full` runs in the long suite, a sample of them otherwise. */
export const runs = (full, sampled = Math.max(20, Math.ceil(full / 20))) => (long ? full : sampled);
/** Parameters for `fc.assert`. */
export const params = (full, sampled) => ({ numRuns: runs(full, sampled), seed });
