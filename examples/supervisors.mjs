// A supervisor of a supervisor of a worker. Runs are arguments, and what one may do with a run only shrinks on the way: the second may set the worker
// back, the third may not, but it may stop the second, and does.
// node examples/supervisors.mjs    With MODEL=haiku and a key a real model is asked; else what it says stands below.
import { agent, inputs, runOf } from "shepherd-ai";
import { scripted, temporary } from "shepherd-ai/testing";

const place = temporary();
const look = { call: [{ tool: "observe", input: {} }] };
const models = {
  work: process.env.MODEL ?? scripted({ call: [{ tool: "bash", input: { command: "echo done > job.txt" } }] }, "Done."),
  watch: process.env.MODEL ?? scripted(...Array(20).fill(look)), // looks, and looks again
};

const work = agent("work", { model: models.work, instruction: "Write job.txt." });
const watch = agent("watch", {
  model: models.watch,
  input: inputs({ run: runOf(work, "observe", "revert") }), // the rights are the tools
  instruction: "Watch the worker until you are stopped. If it goes wrong, set it back.",
});
const audit = agent("audit", {
  input: inputs({ run: runOf(work, "observe"), boss: runOf(watch, "observe", "cancel") }),
  body: async ({ run, boss }, ctx) => {
    let looks = 0;
    for await (const step of boss.observe()) {
      console.log("the second:", [step.kind, step.name].join(" ").trim());
      if (step.kind === "tool" && ++looks === 2) break;
    }
    await boss.cancel("It only looks.");
    // It holds the worker, too, but can neither set it back nor let anybody else do that.
    const given = await ctx.call(watch, { run }).catch(({ message }) => message);
    return [await run.result, "revert" in run, given];
  },
});

const worker = work.start(undefined, place.at);
const boss = watch.start({ run: worker }, place.at);
console.log(await audit.start({ run: worker, boss }, place.at).result);
console.log(await boss.result.catch(({ name, message }) => `${name}: ${message}`));
await place[Symbol.asyncDispose]();
