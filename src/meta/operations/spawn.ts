/** Starts a new worker beside a run, or on its files. */
import { randomUUID } from "node:crypto";
import { Denied, Invalid } from "../../agent/errors.ts";
import { spawnRun } from "../../agent/spawning.ts";
import { checkedWorker, takesWords, taskFor } from "../../agent/worker.ts";
import { taskOf } from "../../run/start.ts";
import { operation, STEP } from "../define.ts";
import { goOn } from "../going.ts";

export const spawn = operation({
  name: "spawn",
  right: "spawn",
  brief:
    "Starts a new worker with a task of your own, in files of its own: those of the directory, or with `at` those of the run at that step. It may do no more than the run, and you hold it as you hold the run, by its name.",
  properties: {
    worker: {
      type: "string",
      description:
        "claude or codex, or another coding agent of this machine; agent (the built-in one, with `model`); command, or gateway for one that asks models.",
    },
    task: { type: "string", description: "What it is to do; for a command the line, as one types it into a shell." },
    model: { type: "string", description: "Which model it asks." },
    at: { ...STEP, description: "The step of the run whose files it begins with." },
  },
  optional: ["model", "at"],
  act: async ({ store, name }, { worker, task, model, at }, doing) => {
    if (worker === "any") throw new Invalid("Which worker? claude, codex, agent, command or gateway.");
    const outside = checkedWorker(worker!, model);
    // A server or a file as a model would be more than the run has.
    const { model: own } = await taskOf(store, name);
    if (model !== undefined && model !== own && !/^\w[\w.@[\]-]*$/.test(model))
      throw new Denied(`A new worker asks a model by its name, and not ${JSON.stringify(model)}.`, { run: name });
    const given = takesWords(worker!) ? { argv: ["sh", "-c", task!] } : { task: task! };
    const made = await spawnRun(store, name, taskFor(outside, given, randomUUID()), { ...doing, at });
    await goOn(store, made);
    return { run: name, spawned: made };
  },
  tell: ({ spawned }) => `It works as ${spawned}.`,
});
