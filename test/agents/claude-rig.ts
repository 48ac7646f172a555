/** The real Claude Code before a scripted provider that speaks its protocol. */
import { createHash } from "node:crypto";
import { type Asked, anthropicEvents, type Wire } from "../support/provider.ts";
import { type AgentRig, agentRig } from "./rig.ts";

/** An answer of the model: text, and calls as `[tool, input]`. */
export interface Said {
  say?: string;
  call?: Array<[tool: string, input: Wire]>;
}

export interface Rig extends AgentRig {
  /** What the model says, by the number of its turns in a conversation. Past the end it says `done`. */
  script: Said[];
  /** Other answers for requests that are not of the main conversation: null leaves them to the script. */
  other: (asked: Asked) => Said | null;
}

export const turnsIn = ({ json }: Asked): number =>
  json.messages.filter(({ role }: Wire) => role === "assistant").length;

/** Providers give each call an id of its own; the same conversation must get the same. */
const tagOf = ({ json }: Asked): string =>
  createHash("sha256").update(JSON.stringify(json.messages[0])).digest("hex").slice(0, 8);

/** @param place as for `agentRig` */
export async function claudeRig(place?: string): Promise<Rig> {
  const rig: Rig = Object.assign(await agentRig(".claude", place), { script: [], other: () => null });
  Object.assign(rig.env, {
    ANTHROPIC_BASE_URL: rig.provider.url,
    ANTHROPIC_API_KEY: "sk-ant-planted-0123456789abcdef",
    npm_config_update_notifier: "false",
    GIT_AUTHOR_NAME: "a",
    GIT_AUTHOR_EMAIL: "a@example.invalid",
    GIT_COMMITTER_NAME: "a",
    GIT_COMMITTER_EMAIL: "a@example.invalid",
  });
  rig.provider.answer = async (asked, response) => {
    if (!asked.url.startsWith("/v1/messages")) return void response.writeHead(404).end();
    const turn = turnsIn(asked);
    const said = rig.other(asked) ?? rig.script[turn] ?? { say: "done" };
    const blocks: Wire[] = said.say === undefined ? [] : [{ type: "text", text: said.say }];
    for (const [i, [name, input]] of (said.call ?? []).entries())
      blocks.push({ type: "tool_use", id: `toolu_${turn}_${i}_${tagOf(asked)}`, name, input });
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of anthropicEvents(blocks, { id: `msg_${turn}`, model: asked.json.model })) response.write(event);
    response.end();
  };
  return rig;
}
