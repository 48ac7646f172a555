// A program that drives, reverts or discards a run of an agent that books, and ends itself before it writes a certain frame.
import { booking } from "./booking.mjs";
import { killAtFrame } from "./kill-at.mjs";

const [, , index, directory, killAt, agent, does, n] = process.argv;
const at = { in: `${directory}/ws`, store: `${directory}/store` };
const frames = killAtFrame(Number(killAt));
const known = booking(await import(index))[agent];
const run = () => known.run(agent, { store: at.store });
const WORKS = {
  start: () => known.start(null, { ...at, name: agent, grants: { allow: ["reserve", "take", "announce"] } }).result,
  resume: () => known.resume(agent, { store: at.store }).result,
  // What was taken back is booked again, and so is what nobody knows of.
  perform: () => known.resume(agent, { store: at.store, inDoubt: () => "perform" }).result,
  revert: () => run().revert(Number(n), { acknowledge: true }),
  discard: () => run().discard(),
};
const told = await WORKS[does]().then(
  (result) => ({ result: result ?? null }),
  ({ name, message, hint, effects }) => ({ error: { name, message, hint, effects } }),
);
const steps = await run().steps();
console.log(
  JSON.stringify({
    ...told,
    frames: frames(),
    steps: steps.map(({ n, kind, name, input, status }) => ({ n, kind, name, input, status })),
  }),
);
