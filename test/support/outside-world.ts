/** The world outside of a run that books (booking.mjs): a PostgreSQL and a Redis, and what they tell of it. */
import * as fs from "node:fs";
import { expect } from "vitest";
import type { LibraryRig } from "./library-rig.ts";
import { newPostgres, noPostgres, type Postgres } from "./postgres.ts";
import { newRedis, noRedis } from "./redis.ts";

/** Why a test has no such world; null where it has. */
export const noWorld: string | null = noPostgres ?? noRedis;

const TABLES = ["reservations", "announcements", "attempts", "compensations"];
const STOCK = 100;

export interface World {
  postgres: Postgres;
  /** What the programs that book take. */
  env: { [name: string]: string };
  /** As if nothing had ever been booked. */
  clear(): void;
  /** Keeps how things stand, with a user's directory. Gives what brings both back. */
  keep(rig: LibraryRig): () => void;
  /**
   * Checks how things stand in both: exactly `stands` is booked, and what was taken back, was so once each, in the order of `undone`. There `~` stands
   * before what had not been done, so that nothing was there to take back.
   * @param again tries to take something back that may have been made in vain
   */
  expect(stands: readonly string[], undone: readonly string[], again?: number): void;
  /** How much is booked in both. */
  booked(): number;
  end(): Promise<void>;
}

export async function newWorld(): Promise<World> {
  const [postgres, redis] = await Promise.all([newPostgres(), newRedis()]);
  postgres.sql(`CREATE TABLE reservations (key text PRIMARY KEY, item text NOT NULL);
CREATE TABLE announcements (key text PRIMARY KEY, item text NOT NULL);
CREATE TABLE attempts (key text NOT NULL);
CREATE TABLE compensations (seq serial, key text PRIMARY KEY, item text NOT NULL, took int NOT NULL);
CREATE SCHEMA kept;
${TABLES.map((name) => `CREATE TABLE kept.${name} AS TABLE ${name};`).join("\n")}`);
  const clear = (): void => {
    postgres.sql(`TRUNCATE ${TABLES.join(", ")};`);
    redis.ask("EVAL", CLEAR, "0", String(STOCK));
  };
  clear();
  return {
    postgres,
    env: { POSTGRES: postgres.host, REDIS: redis.socket },
    clear,
    keep: ({ directory }) => {
      postgres.sql(TABLES.map((name) => `TRUNCATE kept.${name}; INSERT INTO kept.${name} TABLE ${name};`).join("\n"));
      redis.ask("EVAL", COPY_KEYS, "0", "now:", "kept:");
      const copy = `${directory}.kept`;
      fs.rmSync(copy, { recursive: true, force: true });
      fs.cpSync(directory, copy, COPY);
      return () => {
        postgres.sql(TABLES.map((name) => `TRUNCATE ${name}; INSERT INTO ${name} TABLE kept.${name};`).join("\n"));
        redis.ask("EVAL", COPY_KEYS, "0", "kept:", "now:");
        fs.rmSync(directory, { recursive: true, force: true });
        fs.cpSync(copy, directory, COPY);
      };
    },
    expect: (stands, undone, again = 0) => {
      const rows = postgres.sql(ROWS).map((line) => line.split("|") as [string, string, string]);
      const of = (what: string) => rows.filter(([kind]) => kind === what).map(([, , text]) => text);
      const [stock, taken, compensations, attempts, order] = redis
        .ask("EVAL", READ, "0")
        .map((line) => JSON.parse(line)) as [string, string[], string[], string[], string[]];
      const took = undone.filter((item) => !item.startsWith("~"));
      const isStock = (item: string): boolean => STOCKS.test(item);
      expect({
        stands: [...of("stands"), ...taken].sort(),
        stock: Number(stock),
        // Where nothing had been done, there was nothing to take back.
        reservations: of("undone"),
        stocks: compensations
          .map((line) => line.split("|"))
          .flatMap(([, item, acted]) => (acted === "1" ? [item] : [])),
        order: order.filter((item, k) => item !== order[k - 1]),
      }).toEqual({
        stands: [...stands].sort(),
        stock: STOCK - taken.length,
        reservations: took.filter((item) => !isStock(item)),
        stocks: took.filter(isStock),
        order: undone.map((item) => item.replace("~", "")),
      });
      const tries = [...of("tried"), ...attempts];
      expect(new Set(tries).size).toBe(undone.length);
      expect(tries.length).toBeLessThanOrEqual(undone.length + again);
    },
    booked: () =>
      Number(postgres.sql("SELECT count(*) FROM reservations")[0]) + Number(redis.ask("HLEN", "now:taken")[0]),
    end: async () => {
      await Promise.all([postgres.end(), redis.end()]);
    },
  };
}

/** Names of what is taken from the stock. */
const STOCKS = /^(t\d|last)$/;

const COPY = { recursive: true, preserveTimestamps: true, verbatimSymlinks: true };

const ROWS = `SELECT * FROM (SELECT 'stands', 0 AS seq, item FROM reservations
UNION ALL SELECT 'undone', seq, item FROM compensations WHERE took = 1
UNION ALL SELECT 'tried', 0, key FROM attempts) AS each ORDER BY seq;`;

// What the programs know of lies under `now:`; that of another prefix is a copy.
const CLEAR = `for _, name in ipairs(redis.call("KEYS", "now:*")) do redis.call("DEL", name) end
redis.call("SET", "now:stock", ARGV[1])`;
const COPY_KEYS = `local from, to = ARGV[1], ARGV[2]
for _, name in ipairs(redis.call("KEYS", to .. "*")) do redis.call("DEL", name) end
for _, name in ipairs(redis.call("KEYS", from .. "*")) do redis.call("COPY", name, to .. string.sub(name, #from + 1)) end`;
const READ = `local function list(name) return cjson.encode(redis.call("LRANGE", name, 0, -1)) end
local function text(value) return (string.gsub(value, "^{}$", "[]")) end
return { cjson.encode(redis.call("GET", "now:stock")), text(cjson.encode(redis.call("HVALS", "now:taken"))),
  text(list("now:compensations")), text(list("now:attempts")), text(list("now:order")) }`;
