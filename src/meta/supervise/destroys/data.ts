/** Programs that speak to databases. */
import { optionsOf } from "../shell/options.ts";
import { type Program, type Programs, same } from "./program.ts";

/** The options by which clients are given statements. */
const CLIENTS: { [names: string]: { says: string[]; valued: string[] } } = {
  "psql pgcli cockroach": {
    says: ["c", "command"],
    valued: ["c", "command", "d", "dbname", "h", "host", "U", "username", "p", "port", "f", "file", "v", "o", "F", "e"],
  },
  "mysql mariadb mycli": {
    says: ["e", "execute"],
    valued: ["e", "execute", "h", "host", "u", "user", "P", "port", "D", "database", "S"],
  },
  "sqlcmd osql": { says: ["Q", "q"], valued: ["Q", "q", "S", "U", "P", "d", "i"] },
  "clickhouse-client clickhouse": { says: ["query", "q"], valued: ["query", "q", "host", "h"] },
  "snowsql bq trino presto": { says: ["q", "query", "execute"], valued: ["q", "query", "execute"] },
  cqlsh: { says: ["e", "execute"], valued: ["e", "execute", "k", "u", "p"] },
};

const clients: Programs = Object.assign(
  {},
  ...Object.entries(CLIENTS).map(([names, { says, valued }]) =>
    same(names, ({ args, stdin, sql }) => {
      const { values, has } = optionsOf(args, valued);
      const said = values(...says);
      for (const { text, unknown } of said) sql(unknown && text === "" ? null : text);
      if (said.length === 0 && stdin) sql(stdin.text);
      if (has("f", "file", "i")) sql(null);
    }),
  ),
);

/** Lines for Redis. */
const redis: Program = ({ args, stdin, note }) => {
  const { rest } = optionsOf(args, ["h", "p", "a", "n", "u", "user", "pass", "s"]);
  const lines = [rest.map(({ text }) => text).join(" "), ...(stdin?.text?.split("\n") ?? [])];
  if (lines.some((line) => /^\s*(?:FLUSHALL|FLUSHDB|SCRIPT FLUSH|SHUTDOWN|CLUSTER RESET)\b/i.test(line)))
    note("outside", "It empties a database of Redis.");
};

const mongo: Program = ({ args, stdin, note }) => {
  const { values } = optionsOf(args, ["eval", "host", "port", "u", "p"], { whole: true });
  for (const text of [...values("eval").map((each) => each.text), stdin?.text ?? ""])
    if (/\bdropDatabase\s*\(|\.drop\s*\(\s*\)|\.(?:deleteMany|remove)\s*\(\s*\{\s*\}/.test(text))
      note("outside", "It drops a database or what is in it.");
};

export const DATA: Programs = {
  ...clients,
  ...same("sqlite3 sqlite duckdb", ({ args, stdin, sql, place }) => {
    const { rest } = optionsOf(args, ["cmd", "init", "separator", "nullvalue", "c"], { whole: true });
    const [file, ...said] = rest;
    const scratch =
      !file || file.text === ":memory:" || /^\/(?:var\/)?tmp\//.test(file.text) || place.kind?.(file.text) === "own";
    for (const { text } of said) sql(text, scratch);
    if (said.length === 0 && stdin) sql(stdin.text, scratch);
  }),
  ...same("redis-cli valkey-cli keydb-cli", redis),
  ...same("mongo mongosh", mongo),
  ...same("dropdb dropuser", ({ name, note }) => note("outside", `${name} drops what is in a database server.`)),
  mysqladmin: ({ args, note }) => {
    if (args.some(({ text }) => text === "drop")) note("outside", "It drops a database.");
  },
  pg_restore: ({ args, note }) => {
    if (optionsOf(args, ["d", "dbname"]).has("c", "clean"))
      note("outside", "It drops what a backup is put in the place of.");
  },
  etcdctl: ({ args, note }) => {
    if (args.some(({ text }) => text === "del") && args.some(({ text }) => /^--(?:prefix|from-key)/.test(text)))
      note("outside", "It deletes keys of a cluster.");
  },
};
