/** To which conversation a request belongs. */
import fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import { type GatewayRig, gatewayRig } from "../../test/support/gateway-rig.ts";
import {
  type Answer,
  answered,
  anthropicEvents,
  anthropicWhole,
  streamed,
  type Wire,
} from "../../test/support/provider.ts";
import { params } from "../../test/support/runs.ts";
import { until } from "../../test/support/user.ts";
import { encodeJson } from "../trace/bytes.ts";
import { anthropicMessages } from "./anthropic.ts";
import type { Members } from "./protocol.ts";
import { readEdits, readRequest, requestOf } from "./request.ts";

let rig: GatewayRig;
afterEach(() => rig?.end());
const start = async (answer: Answer): Promise<void> => {
  rig = await gatewayRig(answer);
};

const user = (content: unknown): Wire => ({ role: "user", content });
const said = (...content: Wire[]): Wire => ({ role: "assistant", content });
const text = (words: string): Wire => ({ type: "text", text: words });
const use = (id: string): Wire => ({ type: "tool_use", id, name: "Bash", input: { command: id } });
const result = (id: string, content: Wire = id): Wire => ({ type: "tool_result", tool_use_id: id, content });
const ask = (messages: Wire[], more: object = {}): Promise<unknown> =>
  rig.messages({ model: "claude-haiku-4-5", max_tokens: 9, messages, ...more });
const threads = () => rig.steps("model").map(({ intent, outcome }) => `${intent.thread} ${outcome?.status ?? "open"}`);
const roles = async (thread: string) => (await rig.items(thread)).map(({ role }) => role);
const answer = (...content: Wire[]): void => {
  rig.provider.answer = answered(200, anthropicWhole(content));
};

test("a title, asked for with the same first message, is a conversation of its own", async () => {
  await start(answered(200, anthropicWhole([text("On it.")])));
  await ask([user("fix it")], { system: "work" });
  await ask([user("fix it")], { system: "a title, please" });
  await ask([user("fix it"), said(text("On it.")), user("go")], { system: "work" });
  expect(threads()).toEqual(["main done", "thread-2 done", "main done"]);
});

test("a title beside a first call that failed is neither its retry nor its conversation", async () => {
  await start(answered(529, "{}"));
  await ask([user("fix it")], { system: "work" });
  answer(text("A title"));
  await ask([user("fix it")], { system: "a title, please" });
  await ask([user("fix it")], { system: "work" });
  expect(threads()).toEqual(["main done", "thread-2 done"]);
  expect(rig.steps("model").map(({ attempts }) => attempts)).toEqual([2, 1]);
});

test("sub-agents between, that run at once, each have their own; the call that waits for them ends when its result comes", async () => {
  await start(answered(200, anthropicWhole([use("Agent-1"), use("Agent-2")])));
  const main = [user("do both")];
  await ask(main);
  const sub = (k: number) => [user(`part ${k}`)];
  answer(use("s1"));
  await ask(sub(1), { system: "sub" });
  answer(use("s2"));
  await ask(sub(2), { system: "sub" });
  answer(text("Two is done."));
  const two = [...sub(2), said(use("s2")), user([result("s2")])];
  await ask(two, { system: "sub" });
  answer(text("One is done."));
  await ask([...sub(1), said(use("s1")), user([{ ...result("s1"), is_error: true }])], { system: "sub" });
  answer(text("Both are done."));
  await ask([...main, said(use("Agent-1"), use("Agent-2")), user([result("Agent-2"), result("Agent-1")])]);
  expect(threads()).toEqual([
    "main done",
    "thread-2 done",
    "thread-3 done",
    "thread-3 done",
    "thread-2 done",
    "main done",
  ]);
  expect(rig.steps("tool").map(({ outcome, intent, links }) => [intent.thread, links.turn, outcome!.status])).toEqual([
    ["main", 2, "done"],
    ["main", 2, "done"],
    ["thread-2", 6, "failed"],
    ["thread-3", 9, "done"],
  ]);
  expect(rig.scope.writer.fold.pending()).toEqual([]);
  expect(await roles("main")).toEqual(["user", "assistant", "result", "result", "assistant"]);
});

test("the same request twice at once is two conversations; one that goes back goes on in its own", async () => {
  let release = (): void => {};
  const both = new Promise<void>((resolve) => {
    release = resolve;
  });
  await start(async (asked, response, request) => {
    if (rig.provider.asked.length === 2) release();
    await both;
    await answered(200, anthropicWhole([text("Hi.")]))(asked, response, request);
  });
  await Promise.all([ask([user("hello")]), ask([user("hello")])]);
  expect(threads()).toEqual(["main done", "thread-2 done"]);
  await ask([user("hello"), said(text("Hi.")), user("left")]);
  await ask([user("hello"), said(text("Hi.")), user("right")]);
  await ask([user("hello"), said(text("Hi.")), user("elsewhere")]);
  expect(threads().slice(2)).toEqual(["main done", "thread-2 done", "thread-3 done"]);
  expect((await rig.items("thread-3")).length).toBe(4);
});

test("a call whose result is not told ends as not run, and those behind it have their places", async () => {
  await start(answered(200, anthropicWhole([use("a"), use("b"), use("c")])));
  await ask([user("go")]);
  answer(text("ok"));
  await ask([user("go"), said(use("a"), use("b"), use("c")), user([result("c"), result("a"), text("b is gone")])]);
  expect(rig.steps("tool").map(({ outcome }) => outcome!.status)).toEqual(["done", "not-run", "done"]);
  expect((await rig.items()).map((item) => (item.role === "result" ? item.call : item.role))).toEqual([
    "user",
    "assistant",
    "a",
    "c",
    "user",
    "assistant",
  ]);
});

test("results that the client shortens later, and an answer that it tells without its thinking, stay the same conversation", async () => {
  const think = { type: "thinking", thinking: "hm", signature: "c2ln" };
  await start(streamed(anthropicEvents([think, text("I look.  "), use("a")])));
  await ask([user("go")]);
  const told = said(text("I look."), { ...use("a"), caller: { type: "direct" } });
  answer(use("b"));
  await ask([user("go"), told, user([result("a", "long")])]);
  answer(text("done"));
  const short = [user("go"), told, user([result("a", "[cleared]")]), said(use("b")), user([result("b")])];
  await ask(short);
  expect(threads()).toEqual(["main done", "main done", "main done"]);
  expect((await rig.items())[1]!.content[0]).toMatchObject({ type: "native", value: think });
  expect((await rig.items())[2]!.content).toEqual([text("long")]);
  const last = await requestOf(rig.scope.store, rig.steps("model")[2]!.intent.what!);
  expect(last.messages[2]!.content).toEqual([text("[cleared]")]);
  // What is told otherwise once more needs no record of its own.
  await ask([...short, said(text("done")), user("more")]);
  const [third, fourth] = await Promise.all(
    rig
      .steps("model")
      .slice(2)
      .map(({ intent }) => readRequest(rig.scope.store, intent.what!)),
  );
  expect(fourth!.edits).toBe(third!.edits);
  expect((await readEdits(rig.scope.store, third!.edits)).size).toBe(2);
});

test("what a client appends of its own, as the model or as the system, is told as it is", async () => {
  await start(streamed(anthropicEvents([text("I lo")])));
  await ask([user("go")]);
  await ask([
    user("go"),
    said(text("I lo")),
    { role: "system", content: "a reminder" },
    user("stop"),
    said(text("Stopped.")),
    user("on"),
  ]);
  expect(await roles("main")).toEqual(["user", "assistant", "system", "user", "assistant", "user", "assistant"]);
  expect(threads()).toEqual(["main done", "main done"]);
});

test("an answer that was cut, told as far as it came and gone on with, is one message that the thread has in two", async () => {
  await start(async (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of anthropicEvents([text("I look"), text("…")]).slice(0, 8)) response.write(event);
    await new Promise((resolve) => setTimeout(resolve, 20));
    response.destroy();
  });
  await ask([user("go")]);
  answer(text("and see"), use("a"));
  const cut = said(text("I look"));
  await ask([user("go"), cut]);
  answer(text("done"));
  await ask([user("go"), cut, said(text("and see"), use("a")), user([result("a")])]);
  const last = [
    user("go"),
    said(text("I look"), text("and see"), use("a")),
    user([result("a")]),
    said(text("done")),
    user("on"),
  ];
  await ask(last);
  expect(threads()).toEqual(["main cut", "main done", "main done", "main done"]);
  expect(await roles("main")).toEqual(["user", "assistant", "assistant", "result", "assistant", "user", "assistant"]);
  const recorded = await requestOf(rig.scope.store, rig.steps("model")[3]!.intent.what!);
  const body = { model: "claude-haiku-4-5", max_tokens: 9, messages: last };
  expect(encodeJson(recorded).toString()).toBe(encodeJson(anthropicMessages.canonical(body)).toString());
});

test("a program that goes on before the end of an answer was passed on stays in its conversation", async () => {
  await start(streamed(anthropicEvents([text("Hi."), use("a")])));
  const { logs } = rig.scope.store;
  const { append } = logs;
  let held: (() => void) | null = null;
  Object.assign(logs, {
    append: async (...args: Parameters<typeof append>) => {
      const { phase, facts } = args[3][0]!;
      if (phase === "outcome" && facts.stop === "calls")
        await new Promise<void>((resolve) => {
          held = resolve;
        });
      return append(...args);
    },
  });
  const first = ask([user("go")]);
  await until(() => held !== null);
  const second = ask([user("go"), said(text("Hi."), use("a")), user([result("a")])]);
  await new Promise((resolve) => setTimeout(resolve, 50));
  Object.assign(logs, { append });
  answer(text("done"));
  held!();
  await Promise.all([first, second]);
  expect(threads()).toEqual(["main done", "main done"]);
  expect(await roles("main")).toEqual(["user", "assistant", "result", "assistant"]);
});

test("a call whose id comes twice has a step each", async () => {
  await start(answered(200, anthropicWhole([use("a"), use("a")])));
  await ask([user("go")]);
  await rig.stop();
  expect(rig.steps("tool").map(({ outcome }) => outcome!.status)).toEqual(["not-run", "aborted"]);
});

test("whoever serves the scope next knows its conversations", async () => {
  await start(answered(200, anthropicWhole([use("a")])));
  await ask([user("go")], { system: "s" });
  await ask([user("other")], { system: "t" });
  await rig.stop();
  await rig.serve();
  answer(text("ok"));
  await ask([user("go"), said(use("a")), user([result("a")])], { system: "s" });
  await ask([user("other"), said(use("a")), user([result("a")])], { system: "t" });
  expect(threads()).toEqual(["main done", "thread-2 done", "main done", "thread-2 done"]);
  expect(await roles("main")).toEqual(["user", "assistant", "result", "assistant"]);
});

test("any conversations, told in any form and interleaved, stay apart, and each request follows from its record", async () => {
  const words = fc.constantFrom("a", "b", "c");
  const turn = fc.record({
    calls: fc.nat({ max: 2 }),
    say: words,
    and: fc.option(words, { nil: null }),
    list: fc.boolean(),
    marked: fc.boolean(),
  });
  const plan = fc.array(fc.record({ who: fc.nat({ max: 2 }), turn }), { minLength: 1, maxLength: 10 });
  await fc.assert(
    fc.asyncProperty(plan, async (moves) => {
      await start(() => {});
      try {
        const talks: Wire[][] = [0, 1, 2].map((who) => [user(`task ${who}`)]);
        const bodies: Members[] = [];
        const expected: string[] = [];
        const names = new Map<number, string>();
        let id = 0;
        for (const { who, turn } of moves) {
          const blocks = [text(turn.say), ...Array.from({ length: turn.calls }, () => use(`id${id++}`))];
          rig.provider.answer = turn.list ? streamed(anthropicEvents(blocks)) : answered(200, anthropicWhole(blocks));
          const told = talks[who]!.map((message, at) =>
            turn.marked && at === talks[who]!.length - 1 && typeof message.content === "string"
              ? { ...message, content: [{ ...text(message.content), cache_control: { type: "ephemeral" } }] }
              : message,
          );
          const body = { model: "m", max_tokens: 1, messages: told } as never;
          bodies.push(body);
          await rig.messages(body);
          if (!names.has(who)) names.set(who, names.size === 0 ? "main" : `thread-${names.size + 1}`);
          expected.push(`${names.get(who)} done`);
          const results = blocks.filter(({ type }) => type === "tool_use").map((block) => result(block.id));
          talks[who]!.push(
            said(...blocks),
            turn.calls > 0 ? user([...results, ...(turn.and ? [text(turn.and)] : [])]) : user(turn.and ?? "on"),
          );
        }
        expect(threads()).toEqual(expected);
        for (const [at, step] of rig.steps("model").entries())
          expect(encodeJson(await requestOf(rig.scope.store, step.intent.what!)).toString()).toBe(
            encodeJson(anthropicMessages.canonical(bodies[at]!)).toString(),
          );
      } finally {
        await rig.end();
      }
    }),
    params(200, 12),
  );
});
