/** Conversations that the official clients of providers and the built-in agent both have with a scripted server. */
import type { Api } from "../../src/agent/ports/provider.ts";
import {
  type Asked,
  anthropicEvents,
  chatEvents,
  outputText,
  responsesEvents,
  startProvider,
  streamed,
  type Wire,
} from "../support/provider.ts";

export const SYSTEM = "You fix things.";
export const TASK = "Fix the café ☕";
export const MORE = "And now the tests.";
export const TOOL = {
  name: "look",
  description: "Looks at a file.",
  input: {
    type: "object",
    properties: { path: { type: "string", description: "" }, text: { type: "string", description: "" } },
    required: [],
    additionalProperties: false,
  },
} as const;
/** What the model asks for: members in an order of its own. */
export const CALLS = [
  { id: "call_A", input: { text: 'naïve \u2028 "quoted"', path: "b.js" } },
  { id: "call_B", input: { path: "a.js" } },
] as const;
export const RESULTS = { "b.js": ["done", "var b;\n"], "a.js": ["failed", "There is no a.js."] } as const;

const SAID = "I look first.";
const DONE = "It is fixed.";

export interface Scene {
  api: Api;
  model: string;
  /** Events of each answer in turn. */
  answers: string[][];
}

export const SCENES: Scene[] = [
  {
    api: "anthropic-messages",
    model: "claude-haiku-4-5",
    answers: [
      anthropicEvents([
        { type: "thinking", thinking: "Which file?", signature: "c2ln" },
        { type: "text", text: SAID },
        ...CALLS.map(({ id, input }) => ({ type: "tool_use", id, name: TOOL.name, input })),
      ]),
      anthropicEvents([{ type: "text", text: DONE }]),
      anthropicEvents([{ type: "text", text: "They pass." }]),
    ],
  },
  {
    api: "openai-responses",
    model: "gpt-5.1",
    answers: [
      responsesEvents([
        { encrypted_content: "ZW5j", id: "rs_1", summary: [], type: "reasoning" },
        outputText(SAID),
        ...CALLS.map(
          ({ id, input }): Wire => ({
            type: "function_call",
            id: `fc_${id}`,
            status: "completed",
            call_id: id,
            name: TOOL.name,
            arguments: JSON.stringify(input),
          }),
        ),
      ]),
      responsesEvents([outputText(DONE)]),
      responsesEvents([outputText("They pass.")]),
    ],
  },
  {
    api: "openai-chat",
    model: "Qwen/Qwen3-8B",
    answers: [
      chatEvents({
        content: SAID,
        tool_calls: CALLS.map(({ id, input }) => ({
          id,
          type: "function",
          // Models write spaces, too.
          function: { name: TOOL.name, arguments: JSON.stringify(input, null, 1).replaceAll("\n", "") },
        })),
      }),
      chatEvents({ content: DONE }),
      chatEvents({ content: "They pass." }),
    ],
  },
];

/** Serves the answers of a scene; gives what was asked. */
export async function serve({ answers }: Scene): Promise<{ url: string; asked: Asked[]; close(): Promise<void> }> {
  const server = await startProvider((_asked, ...rest) => streamed(answers[server.asked.length - 1]!)(_asked, ...rest));
  return server;
}

/** What of a request matters: where it goes, who asks, in which form; and all of its body. */
export const told = ({ method, url, headers, body }: Asked) => ({
  method,
  url,
  headers: Object.fromEntries(
    ["anthropic-version", "authorization", "content-type", "x-api-key"].flatMap((name) =>
      headers[name] === undefined ? [] : [[name, headers[name]]],
    ),
  ),
  body: body.toString(),
});
