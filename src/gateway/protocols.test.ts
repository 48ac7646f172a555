/** What each provider can say, and that nothing of it is lost. */
import { describe, expect, test } from "vitest";
import { anthropicEvents, chatEvents, functionCall, responsesEvents, type Wire } from "../../test/support/provider.ts";
import { anthropicMessages } from "./anthropic.ts";
import { openaiChat } from "./chat.ts";
import type { End, Protocol } from "./protocol.ts";
import { openaiResponses } from "./responses.ts";
import { sseReader } from "./sse.ts";
import { keyOf } from "./threads.ts";

function said(protocol: Protocol, events: string[]): { blocks: Wire[]; end: End | undefined; at: string[] } {
  const reader = protocol.stream();
  const blocks: Wire[] = [];
  const at: string[] = [];
  let end: End | undefined;
  for (const { data } of sseReader().push(Buffer.from(events.join("")))) {
    const heard = reader.take(data);
    for (const block of heard?.blocks ?? []) {
      blocks.push(block);
      at.push(/"type":"([^"]*)"/.exec(data)?.[1] ?? data);
    }
    end = heard?.end ?? end;
  }
  const last = end ? null : reader.close?.();
  blocks.push(...(last?.blocks ?? []));
  return { blocks, end: end ?? last?.end, at };
}

const told = (protocol: Protocol, body: object): Wire => protocol.canonical(body as never);

describe("Anthropic Messages", () => {
  const BLOCKS: Wire[] = [
    { type: "thinking", thinking: "Hm.", signature: "c2ln" },
    { type: "redacted_thinking", data: "b3BhcXVl" },
    { type: "text", text: "I search." },
    { type: "server_tool_use", id: "srvtoolu_1", name: "web_search", input: { query: "x" } },
    {
      type: "web_search_tool_result",
      tool_use_id: "srvtoolu_1",
      content: [{ type: "web_search_result", url: "https://a", encrypted_content: "e" }],
    },
    { type: "something_new", of: { the: ["future"] } },
    { type: "tool_use", id: "toolu_1", name: "Bash", input: { b: 1, a: { c: [null, "x"] } } },
  ];

  test("an answer streamed, in one piece, and told again is the same message", () => {
    const { blocks, end } = said(anthropicMessages, anthropicEvents(BLOCKS));
    expect(end).toMatchObject({ stop: "calls" });
    expect(anthropicMessages.whole().take(JSON.stringify({ type: "message", content: BLOCKS }))!.blocks).toEqual(
      blocks,
    );
    const { messages } = told(anthropicMessages, { model: "m", messages: [{ role: "assistant", content: BLOCKS }] });
    expect(messages).toEqual([{ role: "assistant", content: blocks }]);
    expect(blocks.filter(({ type }) => type === "native").map(({ value }) => value)).toEqual(
      BLOCKS.filter(({ type }) => type !== "text" && type !== "tool_use"),
    );
  });

  test("citations come by deltas; a delta that is not known is kept", () => {
    const cited = { type: "char_location", cited_text: "x" };
    const [start, ...rest] = anthropicEvents([{ type: "text", text: "ab" }]);
    const deltas = [
      { type: "citations_delta", citation: cited },
      { type: "shiny_delta", shine: 1 },
    ].map((delta) => `data: ${JSON.stringify({ type: "content_block_delta", index: 0, delta })}\n\n`);
    const { blocks } = said(anthropicMessages, [start!, ...rest.slice(0, 3), ...deltas, ...rest.slice(3)]);
    expect(blocks).toEqual([
      { type: "text", text: "ab", extra: { citations: [cited], deltas: [{ type: "shiny_delta", shine: 1 }] } },
    ]);
  });

  test("a user's message is parted into results and what is said, and keeps images and all else", () => {
    const image = { type: "image", source: { type: "base64", media_type: "image/png", data: "aWk=" } };
    const { messages } = told(anthropicMessages, {
      model: "m",
      messages: [
        {
          role: "user",
          content: [
            { type: "tool_result", tool_use_id: "t", is_error: true, content: [{ type: "text", text: "no" }, image] },
            { type: "tool_result", tool_use_id: "u", cache_control: { type: "ephemeral" } },
            { ...image, cache_control: { type: "ephemeral", ttl: "1h" } },
            { type: "text", text: "see" },
          ],
        },
        { role: "system", content: "a reminder" },
      ],
    });
    const native = { type: "native", api: "anthropic-messages", value: image };
    expect(messages).toEqual([
      { role: "result", call: "t", status: "failed", content: [{ type: "text", text: "no" }, native] },
      { role: "result", call: "u", status: "done", content: [] },
      { role: "user", content: [native, { type: "text", text: "see" }] },
      { role: "system", content: [{ type: "text", text: "a reminder" }] },
    ]);
  });

  test.each([
    ["end_turn", "end"],
    ["max_tokens", "length"],
    ["refusal", "refused"],
    ["pause_turn", "pause"],
    ["a_new_one", "other"],
  ])("ends: %s", (reason, stop) => {
    expect(said(anthropicMessages, anthropicEvents([], { stop: reason })).end!.stop).toBe(stop);
  });

  test("usage, also of the cache for an hour", () => {
    const usage = {
      cache_creation_input_tokens: 30,
      cache_creation: { ephemeral_5m_input_tokens: 10, ephemeral_1h_input_tokens: 20 },
    };
    expect(said(anthropicMessages, anthropicEvents([], { usage })).end!.usage).toEqual({
      input: 100,
      output: 50,
      cacheRead: 300,
      cacheWrite: 30,
      cacheWriteHour: 20,
    });
  });
});

describe("OpenAI Responses", () => {
  const ITEMS: Wire[] = [
    { type: "reasoning", id: "rs_1", summary: [{ type: "summary_text", text: "s" }], encrypted_content: "e" },
    {
      type: "message",
      id: "msg_1",
      role: "assistant",
      phase: "commentary",
      content: [
        { type: "output_text", text: "a", annotations: [{ type: "url_citation", url: "u" }] },
        { type: "refusal", refusal: "no", text: "" },
      ],
    },
    { type: "web_search_call", id: "ws_1", action: { type: "search", query: "q" } },
    { type: "custom_tool_call", id: "ctc_1", call_id: "c1", name: "exec", input: "await tools.x()" },
    { type: "local_shell_call", id: "ls_1", call_id: "c2", action: { type: "exec", command: ["ls"] } },
    { ...functionCall("c3", "f", {}), arguments: '{"a" : 1e2}' },
    { ...functionCall("c4", "f", {}), arguments: "not json" },
  ];

  test("an answer streamed, in one piece, and told again is the same message", () => {
    const { blocks, end } = said(openaiResponses, responsesEvents(ITEMS));
    expect(end!.stop).toBe("calls");
    expect(
      openaiResponses.whole().take(JSON.stringify({ id: "r", status: "completed", output: ITEMS }))!.blocks,
    ).toEqual(blocks);
    const { messages } = told(openaiResponses, { model: "m", input: ITEMS });
    expect(messages.length).toBe(1);
    expect(keyOf(messages[0])).toBe(keyOf({ role: "assistant", content: blocks }));
    expect(
      blocks.filter(({ type }) => type === "call").map(({ id, name, input, extra }) => [id, name, input, extra?.raw]),
    ).toEqual([
      ["c1", "exec", "await tools.x()", undefined],
      ["c2", "local_shell", { type: "exec", command: ["ls"] }, undefined],
      ["c3", "f", { a: 100 }, '{"a" : 1e2}'],
      ["c4", "f", "not json", undefined],
    ]);
    expect(blocks[0]).toEqual({ type: "native", api: "openai-responses", value: ITEMS[0] });
    expect(blocks[1].extra).toEqual({
      annotations: [{ type: "url_citation", url: "u" }],
      item: { id: "msg_1", phase: "commentary" },
    });
  });

  test("a call is known as soon as its arguments are, and is told once", () => {
    const { at, blocks } = said(openaiResponses, responsesEvents([functionCall("c", "f", { a: 1 })]));
    expect(at).toEqual(["response.function_call_arguments.done"]);
    expect(blocks.length).toBe(1);
  });

  test("results of every kind of call, and images in them", () => {
    const image = { type: "input_image", image_url: "data:," };
    const { messages } = told(openaiResponses, {
      model: "m",
      input: [
        { type: "function_call_output", call_id: "a", output: [{ type: "input_text", text: "x" }, image] },
        { type: "custom_tool_call_output", call_id: "b", output: "y" },
        { type: "item_reference", id: "i" },
      ],
    });
    expect(messages.map(({ role, call, extra }: Wire) => [role, call, extra])).toEqual([
      ["result", "a", undefined],
      ["result", "b", { type: "custom_tool_call_output" }],
      ["assistant", undefined, undefined],
    ]);
    expect(messages[0].content[1].value).toEqual(image);
  });

  test.each([
    [{ status: "incomplete", incomplete_details: { reason: "max_output_tokens" } }, "length", undefined],
    [{ status: "incomplete", incomplete_details: { reason: "content_filter" } }, "refused", undefined],
    [{ status: "failed", error: { code: "server_error", message: "oh" } }, "other", "server_error: oh"],
  ])("ends: %j", (response, stop, error) => {
    const event = `data: ${JSON.stringify({ type: `response.${response.status}`, response })}\n\n`;
    const { end } = said(openaiResponses, [event]);
    expect([end!.stop, end!.error]).toEqual([stop, error]);
  });
});

describe("OpenAI Chat Completions", () => {
  const call = (id: string, words: string): Wire => ({
    id,
    type: "function",
    function: { name: "f", arguments: words },
  });

  test("an answer streamed, in one piece, and told again is the same message", () => {
    const message = {
      role: "assistant",
      content: "Hi.",
      reasoning_content: "Hm.",
      tool_calls: [call("a", '{"x":1}'), call("b", "")],
    };
    const { blocks, end } = said(openaiChat, chatEvents(message));
    expect(end).toEqual({ stop: "calls", usage: { input: 32, output: 9, cacheRead: 8, cacheWrite: 0 } });
    const whole = { choices: [{ message, finish_reason: "stop" }] };
    expect(openaiChat.whole().take(JSON.stringify(whole))).toMatchObject({ blocks, end: { stop: "calls" } });
    expect(told(openaiChat, { model: "m", messages: [message] }).messages).toEqual([
      { role: "assistant", content: blocks },
    ]);
  });

  test("tokens and how likely they were, where a server tells them: streamed, in one piece, and as ids in the place of words", () => {
    const likely = (...told: Array<[token: string, logprob: number]>): Wire => ({
      content: told.map(([token, logprob]) => ({ token, logprob, bytes: null, top_logprobs: [] })),
    });
    const chunk = (more: Wire): string => `data: ${JSON.stringify({ id: "x", ...more })}\n\n`;
    const { end } = said(openaiChat, [
      chunk({ prompt_token_ids: [1, 2, 3], choices: [{ index: 0, delta: { role: "assistant", content: "" } }] }),
      chunk({ choices: [{ index: 0, delta: { content: "a" }, logprobs: likely(["a", -0.5]), token_ids: [7] }] }),
      chunk({
        choices: [{ index: 0, delta: { content: "bc" }, logprobs: likely(["b", -1], ["c", 0]), token_ids: [8, 9] }],
      }),
      chunk({ choices: [{ index: 0, delta: {}, finish_reason: "stop", token_ids: [] }] }),
      "data: [DONE]\n\n",
    ]);
    const tokens = { type: "tokens", v: 1, prompt: [1, 2, 3], output: [7, 8, 9], logprobs: [-0.5, -1, 0] };
    expect(end!.tokens).toEqual(tokens);

    const message = { role: "assistant", content: "abc" };
    const whole = (choice: Wire, more: Wire = {}) =>
      openaiChat.whole().take(JSON.stringify({ choices: [{ message, finish_reason: "stop", ...choice }], ...more }))!
        .end;
    const logprobs = likely(["a", -0.5], ["b", -1], ["c", 0]);
    expect(whole({ token_ids: [7, 8, 9], logprobs }, { prompt_token_ids: [1, 2, 3] })!.tokens).toEqual(tokens);
    expect(whole({ logprobs })!.tokens).toEqual({ ...tokens, prompt: null, output: null });
    expect(whole({ logprobs: likely(["token_id:7", -0.5], ["token_id:8", -1]) })!.tokens).toEqual({
      ...tokens,
      prompt: null,
      output: [7, 8],
      logprobs: [-0.5, -1],
    });
    expect(whole({ logprobs, token_ids: [7] }, { prompt_token_ids: [1] })!.tokens).toEqual({
      ...tokens,
      prompt: [1],
      output: null,
      logprobs: null,
    });
    expect(whole({ logprobs: { content: "odd" }, token_ids: ["x"] })!.tokens).toBeUndefined();
  });

  test("other choices, refusals and odd members are kept", () => {
    const chunk = (choices: Wire[]): string => `data: ${JSON.stringify({ id: "x", choices })}\n\n`;
    const { blocks } = said(openaiChat, [
      chunk([
        { index: 0, delta: { role: "assistant", refusal: "I ca" } },
        { index: 1, delta: { content: "ot" } },
      ]),
      chunk([
        { index: 1, delta: { content: "her" } },
        { index: 0, delta: { refusal: "n't." } },
      ]),
      chunk([
        { index: 0, delta: {}, finish_reason: "stop" },
        { index: 1, delta: {}, finish_reason: "stop" },
      ]),
      "data: [DONE]\n\n",
    ]);
    expect(blocks).toEqual([
      { type: "native", api: "openai-chat", value: { refusal: "I can't." } },
      { type: "native", api: "openai-chat", value: { index: 1, finish_reason: "stop", message: { content: "other" } } },
    ]);
    const { messages } = told(openaiChat, {
      model: "m",
      messages: [
        { role: "developer", content: "d" },
        { role: "user", name: "ann", content: [{ type: "image_url", image_url: { url: "u" } }] },
        { role: "function", name: "f", content: "r" },
      ],
    });
    expect(
      messages.map(({ role, content }: Wire) => [role, content.map(({ value, text }: Wire) => value ?? text)]),
    ).toEqual([
      ["developer", ["d"]],
      ["user", [{ type: "image_url", image_url: { url: "u" } }, { name: "ann" }]],
      ["user", [{ role: "function", name: "f", content: "r" }]],
    ]);
  });
});
