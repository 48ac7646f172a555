/** The real Codex before a scripted provider that speaks its protocol. */
import * as fs from "node:fs";
import { join } from "node:path";
import { type Asked, functionCall, outputText, responsesEvents, type Wire } from "../support/provider.ts";
import { type AgentRig, agentRig } from "./rig.ts";

/** An answer of the model: text, and calls as `[tool, input]`; a text as input is that of a custom tool. */
export interface Said {
  say: string;
  /** Part of the ids of its calls, where those of the main conversation have the same numbers. */
  tag?: string;
  /** Of its calls of functions: the server of MCP that has them. */
  namespace?: string;
  call?: Array<[tool: string, input: object | string]>;
}

export interface Rig extends AgentRig {
  /** What the model says, by the number of its turns in a conversation. Past the end it says `done`. */
  script: Said[];
  /** Other answers for requests that are not of the main conversation: null leaves them to the script. */
  other: (asked: Asked, turn: number) => Said | null;
  /** What the provider was asked, without what a client says of itself. */
  asked(): Wire[];
}

export const turnsIn = ({ json }: Asked): number => json.input.filter(({ role }: Wire) => role === "assistant").length;

export const itemsOf = (turn: number, { say, call = [], tag = "", namespace }: Said): Wire[] => [
  { ...outputText(say), id: `msg_${turn}${tag}` },
  ...call.map(([tool, input], i) => {
    const id = `call_${turn}_${i}${tag}`;
    if (typeof input !== "string") return { ...functionCall(id, tool, input), ...(namespace && { namespace }) };
    return { type: "custom_tool_call", id: `ctc_${id}`, call_id: id, name: tool, input, status: "completed" };
  }),
];

export async function codexRig(model = "gpt-5.5"): Promise<Rig> {
  const plain = await agentRig(".codex");
  const { home, provider } = plain;
  const rig: Rig = Object.assign(plain, {
    script: [],
    other: () => null,
    asked: () => provider.asked.filter(({ json }) => json).map(({ json: { client_metadata: _, ...rest } }) => rest),
  });
  fs.writeFileSync(join(home, ".codex", "config.toml"), `model = "${model}"\n`);
  fs.writeFileSync(join(home, ".codex", "auth.json"), '{"OPENAI_API_KEY":"sk-planted-in-auth-0123456789"}');
  Object.assign(rig.env, { OPENAI_BASE_URL: `${provider.url}/v1`, OPENAI_API_KEY: "sk-planted-0123456789abcdef" });
  provider.answer = (asked, response) => {
    if (asked.url !== "/v1/responses") return void response.writeHead(404).end();
    const turn = turnsIn(asked);
    const said = rig.other(asked, turn) ?? rig.script[turn] ?? { say: "done" };
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of responsesEvents(itemsOf(turn, said), `resp_${turn}`)) response.write(event);
    response.end();
  };
  return rig;
}
