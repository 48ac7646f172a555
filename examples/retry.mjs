// Retry until green: a worker works, a check decides. What fails it is taken back, conversation and files, and the worker is told what failed.
// node examples/retry.mjs          With MODEL=haiku and a key a real model is asked; else what it says stands below.
import { agent, worker } from "shepherd-ai";
import { scripted, temporary } from "shepherd-ai/testing";

const place = temporary({
  "sum.mjs": "export const sum = (list) => list.reduce((a, b) => a - b);\n",
  "check.mjs": 'import { sum } from "./sum.mjs";\nif (sum([2, 3]) !== 5 || sum([]) !== 0) throw Error("wrong");\n',
});
const edit = (code) => ({ calls: [{ tool: "edit", input: { path: "sum.mjs", old: "a - b)", new: code } }] });
const careless = "a + b)";
const careful = "a + b, 0)";
const model =
  process.env.MODEL ??
  scripted(({ messages }) => edit(JSON.stringify(messages).includes("TypeError") ? careful : careless), "Done.");

const fix = agent("fix", { model, instruction: "sum.mjs adds up a list of numbers, and is wrong. Mend it." });
/** What the check says of the files as the run has them now: it has a run, and so files, of its own. */
const check = async (run) => {
  const graded = run.spawn(worker("command"), { argv: ["node", "check.mjs"] }, { at: (await run.head).n });
  return graded.result.then(() => null).catch(({ message }) => message);
};

let run = fix.start(undefined, place.at);
for (let tries = 1; tries <= 3; tries++) {
  await run.result;
  const failed = await check(run);
  console.log(`try ${tries}:`, failed ? /\w*Error: .*/.exec(failed)[0] : "green");
  if (!failed) break;
  await run.revert(0, { why: "the check fails" });
  run = run.resume({ instruction: `An earlier try of yours was taken back, since the check said: ${failed}` });
}
console.log((await run.merge()).changes);
await place[Symbol.asyncDispose]();
