/** How Codex is started in a scope. Tried with 0.169.0. */
import { randomUUID } from "node:crypto";
import { DUMMY } from "../../gateway/credentials.ts";
import type { Start, Started } from "../plugin.ts";
import { hookOptions } from "./hooks.ts";
import { WORD } from "./resume.ts";

/** What it may do is the scope's matter, so it asks nobody, and trusts the hooks that it is given. */
const FLAGS = [
  ...["exec", "--json", "--skip-git-repo-check"],
  ...["--dangerously-bypass-approvals-and-sandbox", "--dangerously-bypass-hook-trust"],
];

/**
 * Every worker is started in the same way, the first time too: it goes on with a record, in which nothing may be said yet. All options stand
 * on its command line, and win over what the user's configuration says.
 */
export function start({ program, config, urls, hook, session, args, prompt }: Start): Started {
  const provider = `{name="Shepherd",base_url=${JSON.stringify(urls.openai)},wire_api="responses",env_key="OPENAI_API_KEY",supports_websockets=false}`;
  const options: Array<[name: string, value: string]> = [
    ["model_provider", '"shepherd"'],
    ["model_providers.shepherd", provider],
    ["features.hooks", "true"],
    ["analytics.enabled", "false"],
    ["check_for_update_on_startup", "false"],
    ["history.persistence", '"none"'],
    // An index of records, which it makes anew: what it says of a record that was cut since would be wrong.
    ["sqlite_home", JSON.stringify(`${config}/tmp/index-${randomUUID()}`)],
    ...hookOptions(hook),
  ];
  return {
    argv: [
      program,
      ...FLAGS,
      ...options.flatMap(([name, value]) => ["-c", `${name}=${value}`]),
      ...args,
      "resume",
      session,
      "-",
    ],
    env: { CODEX_HOME: config, OPENAI_API_KEY: DUMMY, RUST_LOG: process.env.RUST_LOG ?? "off" },
    input: prompt ?? WORD,
    told,
  };
}

/** What a line of its output says to a person. */
function told(line: string): string | null {
  try {
    const { type, item, error, message } = JSON.parse(line);
    if (type === "item.completed" && item.type === "agent_message") return item.text;
    if (type === "turn.failed") return error.message;
    return type === "error" ? message : null;
  } catch {
    return null;
  }
}
