/** `shepherd log`: the steps of a run, newest first. */

import { framesToTheEnd } from "../../run/follow.ts";
import { listScopes } from "../../scope/registry.ts";
import { listTags } from "../../scope/tags.ts";
import { type Found, readLog, readScope } from "../../scope/view.ts";
import { importOf } from "../../trace/bundle/imported.ts";
import { quoted } from "../../trace/finding.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { allRows, type Shown, shownRows } from "../rowcache.ts";
import { formatRow, rowOf } from "../rows.ts";
import { chooseRun } from "../select.ts";
import { type Context, count, type Verb } from "../verb.ts";

export const verb: Verb = {
  brief: "what a run did, newest first",
  usage: "[RUN] [--graph] [--follow] [--tools]",
  most: 1,
  options: {
    graph: { type: "boolean", short: "g", help: "with the scopes that were forked from it" },
    follow: { type: "boolean", short: "f", help: "oldest first, and go on as steps come" },
    tools: { type: "boolean", short: "t", help: "only steps that touched files or ran something" },
    number: { type: "string", short: "n", value: "N", help: "at most N steps" },
  },
  examples: ["shepherd log", "shepherd log fix-login --follow", "shepherd log --json | jq .summary"],
  run: async (context, flags, args) => {
    const { out } = context;
    const limit = count(flags, "number", 1) ?? Number.POSITIVE_INFINITY;
    const run = await chooseRun(context, args[0]);
    const store = await context.store();
    const imported = await importOf(store, run.log);
    if (imported && !out.json)
      out.warn(
        out.style(
          "dim",
          `(${run.name} was imported on ${new Date(imported.at).toISOString().slice(0, 10)} from ${quoted(imported.file)})`,
        ),
      );
    const wanted = (row: Shown): boolean => !flags.tools || !["model", "message", "run"].includes(row.kind);
    if (flags.follow) {
      await follow(context, run.name, wanted);
      return undefined;
    }
    const live = (await store.leases.holder(`log/${run.log}`)) !== null;
    const forks = flags.graph ? await forksOf(store) : new Map<string, string[]>();
    const tags = out.json ? new Map<string, string[]>() : await tagsOf(store, run.workspace);
    let left = limit;
    const all = out.json
      ? await allRows(store, run.log, await namesOf(store), live)
      : await shownRows(store, run.log, live);
    for (const { log, rows } of all.reverse()) {
      for (let at = rows.length - 1; at >= 0 && left > 0; at--) {
        const row = rows[at]!;
        if (!wanted(row)) continue;
        left--;
        for (const name of forks.get(`${log}/${row.n}`) ?? []) {
          out.line(`| * ${out.style("magenta", name)}`);
          out.line("|/");
        }
        if (out.json) out.object(row);
        else out.line(formatRow(row, out, "*", tags.get(`${log}/${row.n}`)));
      }
    }
    return undefined;
  },
};

const namesOf = async (store: EmbeddedStore): Promise<Map<string, string>> =>
  new Map((await listScopes(store)).map((scope) => [scope.log, scope.name]));

/** Names of steps, by `log/n`. */
async function tagsOf(store: EmbeddedStore, workspace: string): Promise<Map<string, string[]>> {
  const tags = new Map<string, string[]>();
  for (const { name, stands, n } of await listTags(store, workspace))
    tags.set(`${stands}/${n}`, [...(tags.get(`${stands}/${n}`) ?? []), name]);
  return tags;
}

/** Names of the scopes that were forked at each step, as `log/n`. */
async function forksOf(store: EmbeddedStore): Promise<Map<string, string[]>> {
  const forks = new Map<string, string[]>();
  for (const scope of await listScopes(store)) {
    const origin = (await store.logs.header(scope.log))?.origin;
    if (!origin || scope.discarded !== null) continue;
    const key = `${origin.log}/${origin.n}`;
    const head = (await readLog(store, scope.log)).fold.head();
    forks.set(key, [...(forks.get(key) ?? []), `${scope.name} (at step ${head.n})`]);
  }
  return forks;
}

async function follow(
  { out, signal, store: open }: Context,
  name: string,
  wanted: (row: Shown) => boolean,
): Promise<void> {
  const store = await open();
  const { startFold } = await import("../../trace/seal.ts");
  const { frameHash } = await import("../../trace/logs.ts");
  const ref = (await readScope(store, name)).ref!;
  const fold = startFold((await store.logs.header(ref.log))!);
  const show = async (step: Found["step"]): Promise<void> => {
    const row = await rowOf(store, name, step, true);
    if (!wanted(row)) return;
    out.object(row);
    out.line(formatRow(row, out));
  };
  for await (const frame of framesToTheEnd(store, ref.log, signal))
    for (const step of fold.push(frame, frameHash(frame))) await show(step);
}
