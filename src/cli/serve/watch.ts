/** Looking at runs from elsewhere, waiting for them, and stopping what is done in them. */
import { framesToTheEnd } from "../../run/follow.ts";
import { stateOf } from "../../run/lifecycle.ts";
import { findStep, readLog } from "../../scope/view.ts";
import { frameHash } from "../../trace/logs.ts";
import { startFold } from "../../trace/seal.ts";
import { rowOf } from "../rows.ts";
import { chooseStep } from "../select.ts";
import { numberIn, only, textIn } from "./body.ts";
import { type Route, runIn } from "./request.ts";

/** Own steps of a run in the order in which they were sealed; `cursor` says how many of them were seen. */
export const observe: Route = async (serving, request) => {
  only(request.body, "run", "cursor", "follow", "cwd");
  const { store } = serving;
  const { run } = await runIn(serving, request);
  const seen = numberIn(request.body, "cursor", 0) ?? 0;
  const follow = request.body.follow === true;
  const fold = startFold((await store.logs.header(run.log))!);
  const frames = follow ? framesToTheEnd(store, run.log, request.signal) : store.logs.read(run.log);
  let cursor = 0;
  for await (const frame of frames) {
    if (request.signal.aborted) break;
    for (const sealed of fold.push(frame, frameHash(frame)))
      if (++cursor > seen) await request.send({ object: await rowOf(store, run.name, sealed, true), cursor });
  }
  return 0;
};

/** Waits until a run is driven no more, and tells how it ended. */
export const wait: Route = async (serving, request) => {
  only(request.body, "run", "cwd");
  const { store, jobs } = serving;
  const { run } = await runIn(serving, request);
  const job = jobs.find(run.name);
  if (job) {
    const gone = new Promise<never>((_, reject) =>
      request.signal.addEventListener("abort", () => reject(request.signal.reason), { once: true }),
    );
    const lines = await Promise.race([job.ended, gone]);
    const last = lines.at(-1)!;
    // One that was stopped before it worked says nothing of itself: its log does.
    if (!("exit" in last) || last.exit !== 1 || lines.some((line) => "object" in line)) return lines;
  }
  const held = serving.holds.has(run);
  if (!held && (await store.leases.holder(`log/${run.log}`)))
    for await (const _frame of framesToTheEnd(store, run.log, request.signal));
  request.signal.throwIfAborted();
  const view = await readLog(store, run.log, run);
  const state = held ? "idle" : (await stateOf(store, view)).state;
  const { id, n } = view.fold.head();
  await request.send({ object: { scope: run.name, ending: state, error: null, head: id, n } });
  return state === "done" || state === "idle" ? 0 : 1;
};

/** Stops what drives a run here, or lets go of it. */
export const stop: Route = async (serving, request) => {
  only(request.body, "run", "cwd");
  const { run } = await runIn(serving, request);
  const job = serving.jobs.find(run.name);
  job?.stop();
  await job?.ended;
  await serving.holds.stop(run);
  await request.send({ object: { scope: run.name } });
  return 0;
};

/** One step as a row: the newest where none is named. */
export const head: Route = async (serving, request) => {
  only(request.body, "run", "step", "cwd");
  const { run, context } = await runIn(serving, request);
  const word = textIn(request.body, "step") ?? `${run.name}@`;
  const { revision } = await chooseStep(context, [run.name, word], "head RUN STEP");
  const found = await findStep(serving.store, revision.view, revision.step.n);
  await request.send({ object: await rowOf(serving.store, run.name, found!.step, true) });
  return 0;
};
