import fc from "fast-check";
import { expect, test } from "vitest";
import { anthropicEvents, chatEvents, functionCall, outputText, responsesEvents } from "../../test/support/provider.ts";
import { params } from "../../test/support/runs.ts";
import type { Block } from "../scope/thread.ts";
import { anthropicMessages } from "./anthropic.ts";
import { openaiChat } from "./chat.ts";
import type { End, Protocol } from "./protocol.ts";
import { openaiResponses } from "./responses.ts";
import { sseReader } from "./sse.ts";

/** What an answer says when its bytes come in these chunks. */
function said(protocol: Protocol, chunks: Buffer[]): { blocks: Block[]; end: End | undefined } {
  const events = sseReader();
  const reader = protocol.stream();
  const blocks: Block[] = [];
  let end: End | undefined;
  for (const chunk of chunks)
    for (const { data } of events.push(chunk)) {
      const heard = reader.take(data);
      blocks.push(...(heard?.blocks ?? []));
      end = heard?.end ?? end;
    }
  return { blocks, end };
}

const cutAt = (bytes: Buffer, places: number[]): Buffer[] => {
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, k) => bytes.subarray(from, at[k] ?? bytes.length));
};

const text = fc.string({ unit: "grapheme", maxLength: 30 });
const input = fc.dictionary(fc.string({ maxLength: 5 }), fc.oneof(text, fc.integer(), fc.constant(null)), {
  maxKeys: 3,
});
const called = fc.record({ id: fc.uuid(), name: fc.constantFrom("bash", "read"), input });

const answers: fc.Arbitrary<[Protocol, string[]]> = fc.oneof(
  fc
    .array(
      fc.oneof(
        text.map((text) => ({ type: "text", text })),
        text.map((thinking) => ({ type: "thinking", thinking, signature: "c2ln" })),
        called.map((call) => ({ type: "tool_use", ...call })),
      ),
      { maxLength: 5 },
    )
    .map((blocks): [Protocol, string[]] => [anthropicMessages, anthropicEvents(blocks)]),
  fc
    .array(
      fc.oneof(
        text.map(outputText),
        called.map(({ id, name, input }) => functionCall(id, name, input)),
      ),
      { maxLength: 5 },
    )
    .map((items): [Protocol, string[]] => [openaiResponses, responsesEvents(items)]),
  fc
    .record({ content: text, calls: fc.array(called, { maxLength: 4 }) })
    .map(({ content, calls }): [Protocol, string[]] => [
      openaiChat,
      chatEvents({
        content,
        ...(calls.length > 0 && {
          tool_calls: calls.map(({ id, name, input }) => ({
            id,
            function: { name, arguments: JSON.stringify(input) },
          })),
        }),
      }),
    ]),
);

test("an answer says the same however its bytes are cut, whatever its lines end with", () => {
  fc.assert(
    fc.property(
      answers,
      fc.array(fc.nat(), { maxLength: 40 }),
      fc.constantFrom("\n", "\r\n", "\r"),
      ([protocol, events], places, ending) => {
        const whole = said(protocol, [Buffer.from(events.join(""))]);
        const bytes = Buffer.from(events.join("").replaceAll("\n", ending));
        expect(said(protocol, cutAt(bytes, places))).toEqual(whole);
        expect(
          said(
            protocol,
            [...bytes].map((byte) => Buffer.from([byte])),
          ),
        ).toEqual(whole);
        expect(whole.end).toBeDefined();
      },
    ),
    params(3000),
  );
});

test("what an event says is known before the end of its line, and garbage says nothing", () => {
  const bytes = Buffer.from(
    ': a comment\nevent: x\ndata: {"a":1}\n\ndata:{"b":\ndata:2}\r\n\r\nid: 3\ndata: nonsense\n\n',
  );
  const told = sseReader().push(bytes);
  expect(told.map(({ data }) => data)).toEqual(['{"a":1}', '{"b":', '{"b":\n2}', "nonsense"]);
  expect(told.map(({ at }) => bytes.subarray(0, at).toString().split("\n").at(-1))).toEqual([
    'data: {"a":1}',
    'data:{"b":',
    "data:2}",
    "data: nonsense",
  ]);
  expect(said(anthropicMessages, [bytes, Buffer.from("\x00\xff\n\ndata: [1]\n\ndata: null\n\n", "latin1")])).toEqual({
    blocks: [],
    end: undefined,
  });
});
