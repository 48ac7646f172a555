/**
 * What the official clients send: `SHEPHERD_SDKS=DIR npx vitest run test/sdk` writes recorded.json anew, where DIR has a `node_modules` with
 * `@anthropic-ai/sdk` and `openai` in it (`npm install --ignore-scripts` puts them there). They are needed for nothing else, so they are no
 * dependencies. Written as who uses these clients writes it: their answers go back into the conversation as they gave them.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { CALLS, MORE, RESULTS, SCENES, type Scene, SYSTEM, serve, TASK, TOOL, told } from "./scenes.ts";

// biome-ignore lint/suspicious/noExplicitAny: clients that are not there when types are checked
type Any = any;
const KEY = "sk-recorded";

const resultOf = (input: { path: string }) => RESULTS[input.path as keyof typeof RESULTS];

async function anthropic({ Anthropic }: Any, { model, answers }: Scene, url: string): Promise<void> {
  const client = new Anthropic({ apiKey: KEY, baseURL: url, maxRetries: 0 });
  const mark = { cache_control: { type: "ephemeral" } };
  const messages: Any[] = [{ role: "user", content: [{ type: "text", text: TASK }] }];
  for (const at of answers.keys()) {
    // Marks where the conversation ends, and where it ended before.
    const users = messages.filter(({ role }) => role === "user").slice(-2);
    const marked = messages.map((message) =>
      users.includes(message)
        ? {
            ...message,
            content: message.content.map((each: Any, k: number) =>
              k === message.content.length - 1 ? { ...each, ...mark } : each,
            ),
          }
        : message,
    );
    const { content } = await client.messages
      .stream({
        model,
        max_tokens: 32_000,
        system: [{ type: "text", text: SYSTEM, ...mark }],
        tools: [{ name: TOOL.name, description: TOOL.description, input_schema: TOOL.input }],
        messages: marked,
      })
      .finalMessage();
    messages.push({ role: "assistant", content });
    if (at > 0) messages.push({ role: "user", content: [{ type: "text", text: MORE }] });
    else
      messages.push({
        role: "user",
        content: content
          .filter(({ type }: Any) => type === "tool_use")
          .map(({ id, input }: Any) => {
            const [status, text] = resultOf(input);
            return {
              type: "tool_result",
              tool_use_id: id,
              content: [{ type: "text", text }],
              ...(status !== "done" && { is_error: true }),
            };
          }),
      });
  }
}

async function responses({ OpenAI }: Any, { model, answers }: Scene, url: string): Promise<void> {
  const client = new OpenAI({ apiKey: KEY, baseURL: `${url}/v1`, maxRetries: 0 });
  const input: Any[] = [{ role: "user", content: [{ type: "input_text", text: TASK }] }];
  for (const at of answers.keys()) {
    const stream = await client.responses.create({
      model,
      store: false,
      include: ["reasoning.encrypted_content"],
      instructions: SYSTEM,
      input,
      tools: [
        { type: "function", name: TOOL.name, description: TOOL.description, parameters: TOOL.input, strict: false },
      ],
      stream: true,
    });
    let output: Any[] = [];
    for await (const event of stream) if (event.type === "response.completed") output = event.response.output;
    input.push(...output);
    if (at > 0) input.push({ role: "user", content: [{ type: "input_text", text: MORE }] });
    else
      for (const { call_id, arguments: words } of output.filter(({ type }) => type === "function_call"))
        input.push({ type: "function_call_output", call_id, output: resultOf(JSON.parse(words))[1] });
  }
}

async function chat({ OpenAI }: Any, { model, answers }: Scene, url: string): Promise<void> {
  const client = new OpenAI({ apiKey: KEY, baseURL: `${url}/v1`, maxRetries: 0 });
  const messages: Any[] = [
    { role: "system", content: SYSTEM },
    { role: "user", content: TASK },
  ];
  for (const at of answers.keys()) {
    const { choices } = await client.chat.completions
      .stream({
        model,
        messages,
        tools: [
          { type: "function", function: { name: TOOL.name, description: TOOL.description, parameters: TOOL.input } },
        ],
        stream: true,
        stream_options: { include_usage: true },
      })
      .finalChatCompletion();
    const { content, tool_calls: calls } = choices[0].message;
    const asked = (calls ?? []).map(({ id, function: { name, arguments: words } }: Any) => ({
      id,
      type: "function",
      function: { name, arguments: words },
    }));
    messages.push({ role: "assistant", content, ...(asked.length > 0 && { tool_calls: asked }) });
    if (at > 0) messages.push({ role: "user", content: MORE });
    else
      for (const { id } of CALLS)
        messages.push({
          role: "tool",
          tool_call_id: id,
          content: resultOf(CALLS.find((each) => each.id === id)!.input)[1],
        });
  }
}

const TALK = { "anthropic-messages": anthropic, "openai-responses": responses, "openai-chat": chat };

export async function record(directory: string): Promise<{ [api: string]: ReturnType<typeof told>[] }> {
  const require = createRequire(join(directory, "package.json"));
  const load = async (name: string): Promise<Any> => import(pathToFileURL(require.resolve(name)).href);
  const [a, o] = [await load("@anthropic-ai/sdk"), await load("openai")];
  const clients = { Anthropic: a.Anthropic ?? a.default, OpenAI: o.OpenAI ?? o.default };
  const recorded: { [api: string]: ReturnType<typeof told>[] } = {};
  for (const scene of SCENES) {
    const server = await serve(scene);
    try {
      await TALK[scene.api](clients, scene, server.url);
      recorded[scene.api] = server.asked.map(told);
    } finally {
      await server.close();
    }
  }
  return recorded;
}
