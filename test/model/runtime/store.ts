/** What stands beside the workers: a look at main, observers, replay, the user's edits, forgetting, collecting, syncing. */
import { freshMain } from "../../../src/run/placing.ts";
import { expire } from "../../../src/run/retention.ts";
import { followers } from "../../../src/scope/followers.ts";
import { replayLog } from "../../../src/scope/replay.ts";
import { sealedStep } from "../../../src/scope/view.ts";
import { target } from "../../../src/trace/bytes.ts";
import { forget } from "../../../src/trace/forget.ts";
import { gc } from "../../../src/trace/gc.ts";
import { same } from "../value.ts";
import { contentId, treeOf } from "./contents.ts";
import { viewOf } from "./reading.ts";
import { done, drivenOf, type Handlers, refused, stepError, Unlike } from "./reply.ts";

export const store: Handlers = {
  status: async (real) => done((await freshMain(real.store, real.user)).external === null ? "ok" : "external"),
  observe: async (real, { scope, by }) => {
    await drivenOf(real, scope).live.writer.note(null, { note: "attached", by });
    return done("ok");
  },
  replay: async (real, { scope, n }) => {
    const view = await viewOf(real, scope);
    try {
      const { sealed } = await sealedStep(real.store, view, n);
      const replayed = await replayLog(real.store, view.log);
      const ids = (steps: readonly { sealed: { id: string } | null }[]) => steps.map((s) => s.sealed!.id);
      if (!same(ids(replayed.sealed), ids(view.fold.sealed))) throw new Unlike("a replay came to other commits");
      if (replayed.wrong.length > 0) throw new Unlike(`a replay complains: ${replayed.wrong.join(" ")}`);
      return done("ok", {
        n,
        state: { workspace: await treeOf(real.store, target(sealed.state.roots.workspace)), threads: {} },
      });
    } catch (error) {
      stepError(error);
      return refused("no-step");
    }
  },
  edit: async (real, { edit }) => {
    real.save(edit);
    return done("ok");
  },
  forget: async (real, { content }) => {
    const report = await forget(real.store, [contentId(content)], { reason: "asked" });
    return report.records > 0 ? done("ok") : refused("nothing");
  },
  gc: async (real, { retention }) => {
    await expire(real.store, { retention: retention * 1000 + 500 });
    const report = await gc(real.store, { followers, least: 0.01 });
    if (report.stopped) throw new Unlike(report.stopped);
    return undefined;
  },
  flush: async (real, { scope }) => {
    await real.driven.get(scope)?.live.writer.sync();
    return done("ok");
  },
};
