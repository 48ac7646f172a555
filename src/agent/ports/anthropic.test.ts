/** What the provider takes, and that a growing conversation goes on from what it has read before. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { params } from "../../../test/support/runs.ts";
import type { Item } from "../../scope/thread.ts";
import type { Json } from "../../trace/ports.ts";
import { anthropicBody } from "./anthropic.ts";
import type { Body } from "./body.ts";

const text = fc.oneof(fc.constant(""), fc.constant(" \n"), fc.string({ minLength: 1, maxLength: 8 }));
const id = fc.oneof(fc.string({ minLength: 1, maxLength: 6 }), fc.constant("functions.look:0"));
const turn = fc.record({
  said: text,
  calls: fc.uniqueArray(id, { maxLength: 25 }),
  results: fc.infiniteStream(fc.record({ text, failed: fc.boolean() })),
  told: fc.option(text),
  thinks: fc.constantFrom(null, "anthropic-messages", "openai-chat"),
});

/** A conversation as it grows: as it is at each moment at which the model is asked. */
const conversations = fc
  .tuple(fc.string({ minLength: 1 }), fc.array(turn, { minLength: 1, maxLength: 6 }))
  .map(([task, turns]) => {
    const items: Item[] = [{ role: "user", content: [{ type: "text", text: `do ${task}` }] }];
    const asked: Item[][] = [[...items]];
    for (const { said, calls, results, told, thinks } of turns) {
      items.push({
        role: "assistant",
        content: [
          ...(thinks
            ? [{ type: "native" as const, api: thinks, value: { thinking: "hm", type: "thinking", signature: "s" } }]
            : []),
          { type: "text", text: said },
          ...calls.map((each) => ({ type: "call" as const, id: each, name: "look", input: {} })),
        ],
      });
      for (const each of calls) {
        const { text: gave, failed } = results.next().value!;
        items.push({
          role: "result",
          call: each,
          status: failed ? "failed" : "done",
          content: [{ type: "text", text: gave }],
        });
      }
      items.push({ role: "user", content: [{ type: "text", text: told ?? "go on" }] });
      asked.push([...items]);
    }
    return asked;
  });

interface Message {
  role: string;
  content: Body[];
}
const bodyOf = (messages: Item[]): { system: Body[]; messages: Message[] } =>
  anthropicBody({ model: "m", system: "s", tools: [{ name: "look", description: "d", input: {} }], messages }) as never;
const unmarked = (messages: Message[]): Json[] =>
  messages.map(({ role, content }) => ({ role, content: content.map(({ cache_control: _, ...block }) => block) }));
const marks = (messages: Message[]): string[] =>
  messages.flatMap(({ content }, at) =>
    content.flatMap((block, k) => ("cache_control" in block ? [`${at}.${k}`] : [])),
  );

test("a request begins with the one before it, and marks where that ended; it has no more marks than may be, and nothing that is refused", () => {
  fc.assert(
    fc.property(conversations, (asked) => {
      let before: Message[] = [];
      for (const [at, items] of asked.entries()) {
        const { system, messages } = bodyOf(items);
        const marked = marks(messages);
        expect(marked.length + system.filter((block) => "cache_control" in block).length).toBeLessThanOrEqual(4);
        for (const [k, { role, content }] of messages.entries()) {
          expect(role).toBe(k % 2 === 0 ? "user" : "assistant");
          expect(content.length).toBeGreaterThan(0);
          const kinds = content.map(({ type }) => type);
          // Results stand first, each behind its call, and answer all of them.
          expect(kinds.lastIndexOf("tool_result")).toBe(kinds.filter((kind) => kind === "tool_result").length - 1);
          const ids = (of: Message | undefined, type: string, member: string) =>
            of?.content.filter((block) => block.type === type).map((block) => block[member]) ?? [];
          if (role === "assistant" && k < messages.length - 1)
            expect(ids(messages[k + 1], "tool_result", "tool_use_id")).toEqual(ids(messages[k], "tool_use", "id"));
          for (const block of content) {
            if (block.type === "text") expect((block.text as string).trim()).not.toBe("");
            if (block.type === "tool_use") expect(block.id).toMatch(/^[\w-]{1,64}$/);
          }
        }
        if (at > 0) {
          // Where nothing was said between, the last message of before goes on.
          const [was, is] = [unmarked(before), unmarked(messages)];
          expect(is.slice(0, was.length - 1)).toEqual(was.slice(0, -1));
          const [last, now] = [was.at(-1), is[was.length - 1]] as unknown as Message[];
          expect(now!.content.slice(0, last!.content.length)).toEqual(last!.content);
          if (messages.length > before.length) expect(marked).toContain(marks(before).at(-1));
        }
        before = messages;
      }
    }),
    params(1000, 20),
  );
});
