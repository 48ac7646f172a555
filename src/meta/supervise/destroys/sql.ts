/** What statements for a database throw away. */
import type { Severity } from "./severity.ts";

/** SQL without comments, and with nothing in its strings. */
function bare(text: string): string {
  return text.replace(/'(?:[^'\\]|\\.|'')*'|--[^\n]*|\/\*[\s\S]*?\*\/|^\s*#[^\n]*/gm, (part) =>
    part.startsWith("'") ? "''" : " ",
  );
}

/** The worst of what statements do; null where they destroy nothing. */
export function inSql(text: string): { severity: Severity; reason: string } | null {
  for (const raw of bare(text).split(";")) {
    const statement = raw.trim().replace(/\s+/g, " ");
    const dropped =
      /\bDROP (DATABASE|SCHEMA|TABLE|TABLESPACE|USER|ROLE|OWNED|KEYSPACE|COLLECTION|MATERIALIZED VIEW)\b(?! IF EXISTS (?:tmp|temp|test)_)/i.exec(
        statement,
      );
    if (dropped) return { severity: "outside", reason: `It drops a ${dropped[1]!.toLowerCase()} of a database.` };
    if (/^(?:EXPLAIN )?TRUNCATE\b/i.test(statement))
      return { severity: "outside", reason: "It empties a table of a database." };
    if (
      /\bALTER TABLE\b.*\bDROP (?:COLUMN )?(?!CONSTRAINT|INDEX|DEFAULT|NOT|PRIMARY|FOREIGN|KEY|EXPRESSION|IDENTITY)\w/i.test(
        statement,
      )
    )
      return { severity: "outside", reason: "It drops a column of a table." };
    const changes =
      /\b(?:DELETE FROM|UPDATE (?!.*\bFROM\b.*\bJOIN\b))\b/i.test(statement) &&
      !/^(?:CREATE|SELECT|EXPLAIN|PREPARE|COMMENT|GRANT)\b/i.test(statement);
    if (!changes || (/^UPDATE\b/i.test(statement) && !/\bSET\b/i.test(statement))) continue;
    const condition = /\bWHERE\b(.*)$/i.exec(statement)?.[1]?.trim();
    if (condition === undefined || /^\(?(?:1(?: ?= ?1)?|true|'' ?= ?''|not false|1 ?<> ?0)\)?$/i.test(condition))
      return { severity: "outside", reason: "It changes or deletes all rows of a table." };
  }
  return null;
}
