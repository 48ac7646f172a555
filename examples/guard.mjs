// A guard: a gate that is asked before each call of a worker, and vetoes `rm -r`. The model is told why, and finds another way.
// node examples/guard.mjs          With MODEL=haiku and a key a real model is asked; else what it says stands below.
import { agent } from "shepherd-ai";
import { scripted, temporary } from "shepherd-ai/testing";

const place = temporary({ "build/old.js": "old\n", "src/app.js": "app\n" });
const bash = (command) => ({ call: [{ tool: "bash", input: { command } }] });
const model = process.env.MODEL ?? scripted(bash("rm -rf build src"), bash("rm build/old.js"), "It is empty.");

const tidy = agent("tidy", { instruction: "Empty the directory build." });
const run = tidy.start(undefined, { ...place.at, model });
run.gate(({ tool, input }) =>
  tool === "bash" && /\brm\s.*-\w*[rR]/.test(input.command) ? { deny: "No rm -r: remove file by file." } : "allow",
);
for await (const step of run.observe())
  if (step.kind === "tool") console.log(step.status, step.name, step.input.command ?? step.input.path);
console.log(await run.result);
await run.merge();
console.log(place.read("src/app.js") && "src/app.js is still there");
await place[Symbol.asyncDispose]();
