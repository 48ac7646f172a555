// Leader and follower: a worker that is lost begins anew on the files of another one, who found the way, and is told what is there.
// node examples/follow.mjs         With MODEL=haiku LEADER=opus and a key real models are asked; else what they say stands below.
import { agent } from "shepherd-ai";
import { scripted, temporary } from "shepherd-ai/testing";

const place = temporary({ "notes.txt": "one\ntwo\n" });
const bash = (command) => ({ calls: [{ tool: "bash", input: { command } }] });
const leads = process.env.LEADER ?? scripted(() => bash("echo '# two lines' > plan.md"), "The plan is in plan.md.");
const follows =
  process.env.MODEL ??
  scripted(
    ({ messages }) =>
      bash(JSON.stringify(messages).includes("plan.md") ? "cat plan.md > report.md" : "echo ? > report.md"),
    ({ messages }) => (JSON.stringify(messages).includes("plan.md") ? "Written as planned." : "I am lost."),
  );

const plan = agent("plan", { model: leads, instruction: "Write into plan.md how a report on notes.txt is to look." });
const report = agent("report", { model: follows, instruction: "Write report.md, a report on notes.txt." });
const leader = plan.start(undefined, place.at);
const follower = report.start(undefined, place.at);
console.log("leader:", await leader.result);
console.log("follower:", await follower.result);

await follower.handoff({
  from: leader,
  guidance: "Somebody has made a plan: plan.md. Keep to it.",
  why: "it was lost",
});
console.log("follower:", await follower.resume().result);
for (const { path, kind } of (await follower.merge()).changes) console.log(kind, path);
console.log(place.read("report.md").trim());
await place[Symbol.asyncDispose]();
