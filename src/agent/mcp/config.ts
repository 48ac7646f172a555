/** Which servers there are: a file as other agents have it, with what Shepherd wants to know besides. */
import { readFileSync } from "node:fs";
import { isMembers, type Members } from "../../gateway/protocol.ts";
import type { Tier } from "../../trace/frame.ts";
import { ModelError } from "../model.ts";
import type { McpServer } from "./client.ts";

const TIERS: readonly unknown[] = ["reversible", "repeatable", "irreversible"];

/** The servers of a file. Throws a `ModelError` that says what is wrong with it. */
export function readMcp(file: string, env: NodeJS.ProcessEnv = process.env): McpServer[] {
  const wrong = (what: string): never => {
    throw new ModelError(`The servers of ${file} ${what}.`, false);
  };
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    wrong(code ? `cannot be read (${code})` : `are no JSON: ${message.replace(/\.$/, "")}`);
  }
  const servers = isMembers(value) ? value.mcpServers : undefined;
  if (!isMembers(servers)) return wrong('are not there: write {"mcpServers": {"NAME": {"command": "…", "args": []}}}');
  return Object.entries(servers).map(([name, each]) => {
    const of = (what: string): never => wrong(`do not fit: ${JSON.stringify(name)} ${what}`);
    if (!/^[\w-]{1,32}$/.test(name)) of("is no name of letters, digits, - and _, 32 at most");
    if (!isMembers(each)) return of("is no object");
    const { command, args = [], env: variables = {}, url, headers = {}, tiers = {}, readOnly = [] } = each;
    if ((typeof command === "string") === (typeof url === "string")) return of('needs either "command" or "url"');
    if (!isTexts(args)) return of('has "args" that are no list of texts');
    if (!isTextTable(variables)) return of('has an "env" that is no object of texts');
    if (!isTextTable(headers)) return of('has "headers" that are no object of texts');
    if (!isMembers(tiers) || !Object.values(tiers).every((tier) => TIERS.includes(tier)))
      return of('has "tiers" that are not reversible, repeatable or irreversible');
    if (!isTexts(readOnly)) return of('has a "readOnly" that is no list of names');
    const full = (text: string): string =>
      text.replace(/\$\{(\w+)(?::-([^}]*))?\}/g, (_, variable: string, without?: string) => {
        const found = env[variable] ?? without;
        return found ?? of(`names ${variable}, which is not set`);
      });
    const fullIn = (table: { [name: string]: string }): { [name: string]: string } =>
      Object.fromEntries(Object.entries(table).map(([key, text]) => [key, full(text)]));
    const at =
      typeof url === "string"
        ? {
            url: addressOf(full(url)) ?? of("has no address that begins with http:// or https://"),
            headers: fullIn(headers),
          }
        : { command: full(command as string), args: args.map(full), env: fullIn(variables) };
    return { name, at, tiers: tiers as { [tool: string]: Tier }, readOnly };
  });
}

/** The servers of several files. Throws where two have one name. */
export function readServers(files: readonly string[], env: NodeJS.ProcessEnv = process.env): McpServer[] {
  const servers = files.flatMap((file) => readMcp(file, env));
  const twice = servers.find(({ name }, at) => servers.findIndex((each) => each.name === name) !== at);
  if (twice)
    throw new ModelError(`Two servers have the name ${JSON.stringify(twice.name)}: give one of them another.`, false);
  return servers;
}

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((each) => typeof each === "string");
const isTextTable = (value: unknown): value is { [name: string]: string } =>
  isMembers(value) && Object.values(value as Members).every((each) => typeof each === "string");
const addressOf = (text: string): string | null => (URL.canParse(text) && /^https?:/i.test(text) ? text : null);
