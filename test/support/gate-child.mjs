// A run whose effects are asked about at a gate `docs` (`owner`), and that gate (`gate`). Each ends when it is killed; the owner also with its run.
import fs from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { killAtFrame } from "./kill-at.mjs";

const [, , role, index, directory, ...words] = process.argv;
const store = `${directory}/store`;
const say = (file, entry) => fs.appendFileSync(`${directory}/${file}`, `${JSON.stringify(entry)}\n`);
const frames = killAtFrame(role === "owner" ? Number(words[1]) : 0, words[2]);

const { agent, effect } = await import(index);
const any = { "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) } };
const acted = () =>
  fs.existsSync(`${directory}/acted`)
    ? fs
        .readFileSync(`${directory}/acted`, "utf8")
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line))
    : [];
const does = (tier) =>
  effect({
    ...{ tier, input: any, output: any },
    run: async (input, { key }) => {
      say("acted", { key, input });
      await sleep(5);
      return input;
    },
  });

const ship = agent("ship", {
  input: any,
  effects: { look: does("repeatable"), send: does("irreversible"), note: does("reversible") },
  body: async (_input, ctx) => {
    const said = [];
    const one = async (name, k) => {
      const came = await ctx.do[name](k).catch((error) => {
        if (error.name !== "Denied") throw error;
        return "denied";
      });
      said.push(`${name} ${k} ${came}`);
    };
    for (const k of [1, 2, 3]) {
      await one("look", k);
      await one("send", k);
    }
    await Promise.all([4, 5, 6].map((k) => one("note", k)));
    await one("send", 7);
    return said.sort();
  },
});

if (role === "owner") {
  const [guard] = words;
  const inDoubt = ({ key }) => {
    const did = acted().find((each) => each.key === key);
    return did ? { output: did.input } : "perform";
  };
  const known = fs.existsSync(`${directory}/begun`);
  fs.writeFileSync(`${directory}/begun`, "");
  const resumed = () => ship.resume("ship", { store, inDoubt });
  const started = () => ship.start(null, { store, in: `${directory}/ws`, name: "ship", guards: { docs: guard } });
  const result = await (known ? resumed() : started()).result.catch((error) => {
    // It was killed before it had a name.
    if (known && /no scope ship/.test(error.message)) return started().result;
    throw error;
  });
  console.log(JSON.stringify({ result, frames: frames() }));
} else {
  // What it says is a throw of dice: said twice it would be two things.
  const decide = async ({ n, input }) => {
    const dice = Math.random();
    await sleep(Math.random() * 15);
    const verdict = dice < 0.55 ? "allow" : dice < 0.8 ? { deny: "no" } : { rewrite: input + 100 };
    say("asked", { n });
    return verdict;
  };
  for (;;) {
    const gate = ship.run("ship", { store }).gate(decide, { as: "docs" });
    const told = await gate.attached.catch(() => null);
    if (told) say("told", { decided: told.decided.map(({ n, decision }) => [n, decision]) });
    if (told) await gate.ended;
    else await sleep(20);
  }
}
