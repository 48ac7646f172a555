// An agent that books places in PostgreSQL ($POSTGRES: directory of its socket) and takes stock in Redis ($REDIS: its socket), a dozen times.
import { spawn } from "node:child_process";
import { redis } from "./redis-client.mjs";

/** Ends this process where the test has said ($DIES). */
const dies = (at) => {
  if (process.env.DIES === at) process.kill(process.pid, "SIGKILL");
};

/** Does statements as one transaction, by the client that everybody has. */
const sql = (key, item, text) =>
  new Promise((resolve, reject) => {
    const options = ["-U", "postgres", "-d", "postgres", "-XAtq1", "-v", "ON_ERROR_STOP=1"];
    const given = ["-v", `key=${key}`, "-v", `item=${item}`, "-f", "-"];
    const client = spawn("psql", ["-h", process.env.POSTGRES, ...options, ...given]);
    let wrong = "";
    client.stderr.on("data", (chunk) => {
      wrong += chunk;
    });
    client.on("error", reject);
    client.on("close", (code) => (code === 0 ? resolve() : reject(new Error(wrong.trim()))));
    client.stdin.on("error", () => {});
    client.stdin.end(text);
  });
const evaluate = (script, key, item) => redis(process.env.REDIS, "EVAL", script, "0", key, item);

// What was under way when this process was killed may still come about: after its undo it must not.
const ALONE = "SELECT pg_advisory_xact_lock(hashtext(:'key'));";
const RESERVE = `${ALONE}
INSERT INTO reservations SELECT :'key', :'item' WHERE NOT EXISTS (SELECT FROM compensations WHERE key = :'key') ON CONFLICT DO NOTHING;`;
const CANCEL = `${ALONE}
INSERT INTO attempts VALUES (:'key');
WITH gone AS (DELETE FROM reservations WHERE key = :'key' RETURNING key)
INSERT INTO compensations (key, item, took) SELECT :'key', :'item', count(*) FROM gone ON CONFLICT (key) DO NOTHING;`;
const ANNOUNCE = "INSERT INTO announcements VALUES (:'key', :'item') ON CONFLICT DO NOTHING;";

const TAKE = `if redis.call("SISMEMBER", "now:undone", ARGV[1]) == 0 and redis.call("HSETNX", "now:taken", ARGV[1], ARGV[2]) == 1 then
  redis.call("DECR", "now:stock")
end`;
const PUT_BACK = `redis.call("RPUSH", "now:attempts", ARGV[1])
local took = redis.call("HDEL", "now:taken", ARGV[1])
if took == 1 then redis.call("INCR", "now:stock") end
if redis.call("SADD", "now:undone", ARGV[1]) == 1 then redis.call("RPUSH", "now:compensations", ARGV[1] .. "|" .. ARGV[2] .. "|" .. took) end`;

/** @param library the module `shepherd-ai`, as the program has it */
export function booking({ agent, effect }) {
  const any = { "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) } };
  const taking = (name, does, undoes) =>
    effect({
      ...{ tier: "compensable", input: any, output: any },
      run: async (item, { key }) => {
        dies(`before ${item}`);
        await does(key, item);
        dies(`after ${item}`);
        return `${name} ${item}`;
      },
      undo: async ({ input, output }, { key }) => {
        // It may be a second try, but of nothing else than before.
        if (output !== undefined && output !== `${name} ${input}`)
          throw new Error(`${output} is not what ${name} said.`);
        await redis(process.env.REDIS, "RPUSH", "now:order", input);
        dies(`before undoing ${input}`);
        await undoes(key, input);
        dies(`after undoing ${input}`);
      },
    });
  const effects = {
    reserve: taking(
      "reserve",
      (key, item) => sql(key, item, RESERVE),
      (key, item) => sql(key, item, CANCEL),
    ),
    take: taking(
      "take",
      (key, item) => evaluate(TAKE, key, item),
      (key, item) => evaluate(PUT_BACK, key, item),
    ),
    announce: effect({
      ...{ tier: "irreversible", input: any, output: any },
      run: async (item, { key }) => {
        await sql(key, item, ANNOUNCE);
        return item;
      },
    }),
  };
  const part = agent("part", {
    input: any,
    effects,
    body: async ([reserves, takes, fails], ctx) => {
      const said = [await ctx.do.reserve(reserves), await ctx.do.take(takes)];
      if (fails) throw new Error("This part does not work.");
      return said;
    },
  });
  const book = agent("book", {
    input: any,
    effects,
    body: async (_input, ctx) => {
      const said = [];
      for (const k of [1, 2, 3, 4, 5, 6]) {
        said.push(await ctx.do.reserve(`r${k}`), await ctx.do.take(`t${k}`));
        if (k === 3) said.push(await ctx.do.announce("half"));
      }
      if (process.env.STAYS) await ctx.sleep(600_000);
      return said;
    },
  });
  /** Books by agents that it calls; the last one fails. */
  const tour = agent("tour", {
    input: any,
    effects,
    body: async (_input, ctx) => {
      const said = [await ctx.do.reserve("first"), ...(await ctx.call(part, ["r1", "t1"]))];
      said.push(await ctx.call(part, ["r2", "t2", true]).catch((error) => error.message));
      return [...said, await ctx.do.take("last")];
    },
  });
  return { book, tour, part };
}
