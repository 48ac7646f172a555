// A program whose agent does some thirty things, of every tier, and calls others that do; it ends itself before it writes a certain frame.
import fs from "node:fs";
import { killAtFrame } from "./kill-at.mjs";

const [, , index, directory, killAt] = process.argv;
const at = { in: `${directory}/ws`, store: `${directory}/store` };

/** The world outside: a line for each thing that was done to it. */
const LEDGER = `${directory}/ledger`;
const did = () =>
  fs.existsSync(LEDGER)
    ? fs
        .readFileSync(LEDGER, "utf8")
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line))
    : [];
const act = (entry) => {
  fs.appendFileSync(LEDGER, `${JSON.stringify(entry)}\n`);
  if (entry.did !== undefined && entry.did === process.env.DIES_IN) process.kill(process.pid, "SIGKILL");
};

const frames = killAtFrame(Number(killAt));
const { agent, effect, open } = await import(index);
const any = { "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) } };
const does = (tier, name, more = {}) =>
  effect({
    ...{ tier, input: any, output: any },
    run: async (input, { key }) => {
      act({ did: name, key, input });
      return `${name} ${input}`;
    },
    ...more,
  });
const taken = (name) => ({
  undo: (_done, { key }) => {
    act({ undid: name, key });
  },
});
const effects = {
  note: does("reversible", "note"),
  look: does("repeatable", "look"),
  pay: does("compensable", "pay", taken("pay")),
  mail: does("irreversible", "mail"),
  sour: effect({
    ...{ tier: "repeatable", input: any, output: any },
    run: () => {
      throw new RangeError("it never works");
    },
  }),
};

const pack = agent("pack", {
  input: any,
  effects,
  body: async (name, ctx) => {
    await ctx.bash(`echo ${name} > ${name}.txt`);
    const [paid, looked] = await Promise.all([ctx.do.pay(name), ctx.do.look(name)]);
    return [paid, looked, (await ctx.bash(`cat ${name}.txt`)).output];
  },
});

const ship = agent("ship", {
  input: any,
  effects,
  body: async (names, ctx) => {
    const said = [await ctx.do.note("begin")];
    const packed = await Promise.all(names.map((name) => ctx.call(pack, name)));
    const at = await ctx.now();
    const drawn = await ctx.random();
    const id = await ctx.uuid();
    for (const k of [1, 2, 3]) {
      said.push(await ctx.do.look(k), await ctx.do.pay(k));
      await ctx.bash(`echo ${k} >> all.txt`);
    }
    said.push(await ctx.do.sour("x").catch((error) => `${error.name}: ${error.message}`));
    await ctx.sleep(1);
    const racing = [];
    await Promise.all([1, 2, 3, 4].map(async (k) => racing.push(await ctx.do.look(`race ${k}`))));
    for (const each of racing) said.push(await ctx.do.note(each));
    said.push(await ctx.do.mail("all"), await ctx.do.mail("you"));
    const { output } = await ctx.bash("cat *.txt");
    const same = (await ctx.now()) >= at && drawn < 1 && id.length === 36;
    return { said: said.sort(), packed, output, same };
  },
});

const grants = { allow: ["pay", "mail"] };
/** What was sent is not sent again; what was paid back is paid. */
const inDoubt = ({ name, input, key }) =>
  name === "mail" && did().some((each) => each.did === "mail" && each.key === key)
    ? { output: `mail ${input}` }
    : "perform";

const known = await open(at.store)
  .then(async (store) => store.runs().finally(store.close))
  .catch(() => []);
const run = known.some(({ name }) => name === "ship")
  ? ship.resume("ship", { store: at.store, ...(!process.env.ASKS && { inDoubt }) })
  : ship.start(["one", "two"], { ...at, name: "ship", grants });
if (process.env.ASKS) {
  const error = await run.result.catch((each) => each);
  console.log(JSON.stringify({ result: [error.name, error.run, error.effects, error.hint !== ""], frames: frames() }));
} else console.log(JSON.stringify({ result: await run.result, frames: frames() }));
