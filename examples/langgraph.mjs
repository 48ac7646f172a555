// Is the harness of somebody else just another agent? A LangGraph.js program, its code untouched, and an agent of ours that watches it, holds it, sets
// it back and steers it by its files. (It performs its calls itself, so nothing can gate those or tell its model something: docs/cli.md, "Steer".)
// cp -r examples/langgraph ~/calc && (cd ~/calc && npm install) && OPENAI_API_KEY=… node examples/langgraph.mjs ~/calc
import { agent, inputs, runOf, worker } from "shepherd-ai";

const graph = worker("gateway"); // a command whose model calls go through the gateway

const oversee = agent("oversee", {
  input: inputs({ run: runOf(graph, "observe", "pause", "revert", "sync", "resume") }),
  body: async ({ run }, ctx) => {
    for await (const step of run.observe()) {
      if (step.kind !== "tool" || step.name !== "write_file" || !/\beval\b/.test(step.input.content)) continue;
      const why = "it evaluates what it is given";
      await run.pause({ why });
      const steps = await run.steps();
      const read = steps.findIndex(({ kind, name }) => kind === "tool" && name === "read_file");
      const asked = steps.slice(0, read).findLast(({ kind }) => kind === "model");
      await run.revert(asked.n, { why }); // its model has asked for the file, and the file is not read yet
      await ctx.bash("echo 'Never use eval or Function.' >> SPEC.md"); // lands in the directory, see below
      await run.sync({ why });
      return run.resume({ why }).result;
    }
    return run.result;
  },
});

const at = { in: process.argv[2] };
const run = graph.start({ argv: ["node", "graph.mjs"] }, at);
console.log(await oversee.start({ run }, { ...at, land: "live" }).result);
for (const { path, kind } of (await run.merge()).changes) console.log(kind, path);
