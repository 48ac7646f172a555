/** `shepherd undo`: take back an operation. */

import { recoverLandings } from "../../run/placing.ts";
import { finishBegun, settleOperations } from "../../run/recover.ts";
import { undoOperation } from "../../run/undo.ts";
import { listOperations, newestUndoable, type Operation } from "../../scope/operations.ts";
import { quotePath } from "../../world/paths.ts";
import { Exit } from "../errors.ts";
import { settleModels, tellDoubts } from "../operate.ts";
import { findWorkspace } from "../select.ts";
import type { Verb } from "../verb.ts";

const WORDS: { [kind: string]: string } = {
  revert: "the revert of",
  handoff: "the handoff of",
  merge: "the merge into",
  sync: "the sync of",
  resolve: "the resolution in",
  discard: "the discard of",
  landing: "the landing of",
  undo: "the undo in",
};

/** Whose operation it was: of a landing the run that landed. */
const nameOf = ({ kind, scope, details }: Operation): string =>
  kind === "landing" && typeof details.from === "string" ? details.from : scope;

export const verb: Verb = {
  brief: "take back the last revert, merge, sync, landing or discard",
  usage: "[OPERATION]",
  most: 1,
  options: {
    list: { type: "boolean", short: "l", help: "list operations, newest first" },
    "dry-run": { type: "boolean", help: "only say what would be done" },
  },
  details:
    "A second `undo` goes one further back. What changed since is a conflict: nothing is lost, and nothing is changed then.",
  run: async (context, flags, args) => {
    const { out } = context;
    if (flags.list && args[0] !== undefined)
      throw new Exit(2, `--list lists all operations: leave ${JSON.stringify(args[0])} out, or --list.`);
    const store = await context.store();
    const workspace = await findWorkspace(store, context.cwd);
    if (!flags.list && !flags["dry-run"]) {
      await recoverLandings(store, workspace.path);
      await finishBegun(store, workspace.id);
      await settleOperations(store, workspace.id);
    }
    const operations = await listOperations(store, workspace.id);
    if (flags.list) {
      if (operations.length === 0) out.say(`No operations in ${workspace.path} yet.`);
      for (const operation of operations.reverse()) {
        const { op, kind, scope, state, at, details, undoes, n } = operation;
        out.object({ op, kind, scope, n, state, undoes, at: new Date(at).toISOString(), details });
        out.line(
          `${String(op).padStart(4)}  ${kind.padEnd(8)} ${(undoes === null ? nameOf(operation) : `operation ${undoes}`).padEnd(20)} ${state.padEnd(8)} ${new Date(at).toISOString().slice(0, 19).replace("T", " ")}`,
        );
      }
      return undefined;
    }
    const operation = args[0] === undefined ? await newestUndoable(store, workspace.id) : find(operations, args[0]);
    if (!operation) throw new Exit(2, "There is nothing to undo here.");
    const what = `${WORDS[operation.kind] ?? operation.kind} ${nameOf(operation)} (operation ${operation.op})`;
    if (flags["dry-run"]) {
      out.object({ op: operation.op, kind: operation.kind, scope: operation.scope, dryRun: true });
      out.say(`Would take back ${what}.`);
      return undefined;
    }
    const done = await undoOperation(store, workspace, operation, { signal: context.signal, settle: settleModels });
    const conflicts = done.conflicts.map(({ path, why }) => ({ path: quotePath(path), why }));
    out.object({
      op: done.op,
      undoes: operation.op,
      kind: operation.kind,
      scope: operation.scope,
      status: done.status,
      conflicts,
      threads: done.threads,
      inDoubt: done.inDoubt ?? [],
    });
    for (const line of tellDoubts(done.inDoubt ?? [])) out.warn(line);
    if (done.status === "conflict") {
      // A landing goes back path by path, all else as a whole or not at all.
      out.say(
        operation.kind === "landing"
          ? `Took back ${what}, but for what changed since:`
          : `Cannot take back ${what}: things changed since, and are left as they are.`,
      );
      for (const { path, why } of conflicts) out.say(`  ${path}: ${why}`);
      for (const thread of done.threads) out.say(`  the conversation ${thread} has gone on since`);
      if (operation.kind !== "landing") out.say("`shepherd undo --list` shows what else can be taken back.");
      return 3;
    }
    out.say(`Took back ${what}.`);
    return undefined;
  },
};

function find(operations: Operation[], word: string): Operation {
  const operation = operations.find(({ op }) => String(op) === word);
  if (!operation)
    throw new Exit(2, `There is no operation ${JSON.stringify(word)} here: \`shepherd undo --list\` lists them.`);
  if (operation.state === "undone") throw new Exit(2, `Operation ${word} is taken back already.`);
  if (operation.state !== "done")
    throw new Exit(2, `Operation ${word} did not take place, so there is nothing to take back.`);
  return operation;
}
