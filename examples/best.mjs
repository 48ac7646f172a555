// The best of three: three futures from one moment, each graded on its own files; the winner lands, the others are given up.
// node examples/best.mjs           With MODEL=haiku and a key a real model is asked; else what it says stands below.
import { agent, worker } from "shepherd-ai";
import { scripted, temporary } from "shepherd-ai/testing";

const place = temporary({ "words.txt": "pear\napple\npear\nfig\n" });
const write = (code) => scripted({ call: [{ tool: "write", input: { path: "uniq.sh", content: code } }] }, "Done.");
const models = ["sort words.txt | uniq\n", "sort -u words.txt\n", "cat words.txt\n"].map(write);

const shorten = agent("shorten", {
  instruction: "Write uniq.sh, as short as you can: the words of words.txt, each once.",
});
const start = shorten.start(undefined, { ...place.at, model: process.env.MODEL ?? models[0] });
await start.result;
const forks = models.slice(1).map((model) => start.fork({ at: 0, model: process.env.MODEL ?? model }));
const tries = [start, ...forks];

/** Bytes of what works; what does not is no candidate. */
const grade = async (run) => {
  await run.result;
  const test = '[ "$(sh uniq.sh | sort | xargs)" = "apple fig pear" ] && wc -c < uniq.sh';
  const graded = run.spawn(worker("command"), { argv: ["sh", "-c", test] }, { at: (await run.head).n });
  return graded.result.then(Number).catch(() => Number.POSITIVE_INFINITY);
};
const grades = await Promise.all(tries.map(grade));
console.log(grades);
const winner = tries[grades.indexOf(Math.min(...grades))];
for (const run of tries) if (run !== winner) await run.discard({ why: "another one is better" });
await winner.merge();
console.log(place.read("uniq.sh").trim());
await place[Symbol.asyncDispose]();
