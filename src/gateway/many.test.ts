/** Many programs at once, a provider that fails at random, clients that try again: what each was told is what its thread has. */
import { expect, test } from "vitest";
import { random } from "../../test/support/crash.ts";
import { gatewayRig } from "../../test/support/gateway-rig.ts";
import { anthropicEvents, type Wire } from "../../test/support/provider.ts";
import { runs, seed } from "../../test/support/runs.ts";
import { anthropicMessages } from "./anthropic.ts";
import { makeLimiter } from "./limiter.ts";
import { sseReader } from "./sse.ts";

const text = (words: string): Wire => ({ type: "text", text: words });

/** The blocks of an answer that had ended, as a client keeps them. */
function blocksIn(body: Buffer): Wire[] {
  const reader = anthropicMessages.stream();
  const blocks = sseReader()
    .push(body)
    .flatMap(({ data }) => reader.take(data)?.blocks ?? []);
  return blocks.map((block) =>
    block.type === "call" ? { type: "tool_use", id: block.id, name: block.name, input: block.input } : { ...block },
  );
}

test.each(Array.from({ length: runs(20, 2) }, (_, k) => seed + k))("seed %i", { timeout: 120_000 }, async (from) => {
  const next = random(from);
  let ids = 0;
  const rig = await gatewayRig(
    async (_, response) => {
      const luck = next();
      if (luck < 0.15) return void response.writeHead([429, 500, 529][ids % 3]!, { "retry-after": "0" }).end("{}");
      if (luck < 0.2) return void response.destroy();
      const calls = Array.from({ length: Math.floor(next() * 3) }, () => ({
        type: "tool_use",
        id: `toolu_${++ids}`,
        name: "Bash",
        input: {},
      }));
      const events = anthropicEvents([text(`answer ${ids}`), ...calls], { id: `msg_${++ids}` });
      const cut = next() < 0.2 ? Math.floor(next() * events.length) : events.length;
      response.writeHead(200, { "content-type": "text/event-stream" });
      for (const event of events.slice(0, cut)) {
        response.write(event);
        if (next() < 0.3) await new Promise((resolve) => setTimeout(resolve, next() * 5));
      }
      if (cut < events.length) response.destroy();
      else response.end();
    },
    { limiter: makeLimiter() },
  );
  try {
    /** One program: goes on with what came of a cut answer if it asks for something, else tries again. */
    const work = async (who: number): Promise<Wire[]> => {
      const messages: Wire[] = [{ role: "user", content: `task ${who}` }];
      for (let turn = 0; turn < 6; turn++) {
        let blocks: Wire[] = [];
        for (let tries = 0; tries < 50; tries++) {
          const body = { model: "m", max_tokens: 1, stream: true, messages };
          const reply = await rig.messages(body).catch(() => null);
          blocks = reply?.status === 200 ? blocksIn(reply.body) : [];
          const useful = reply?.whole || blocks.some(({ type }) => type === "tool_use");
          if (reply?.status === 200 && useful) break;
          blocks = [];
        }
        if (blocks.length === 0) break;
        const results = blocks.flatMap(({ type, id }) =>
          type === "tool_use" ? [{ type: "tool_result", tool_use_id: id, content: id }] : [],
        );
        messages.push({ role: "assistant", content: blocks });
        messages.push({ role: "user", content: results.length > 0 ? results : "on" });
      }
      return messages;
    };
    const told = await Promise.all(Array.from({ length: 8 }, (_, who) => work(who)));
    await rig.stop();
    const { fold } = rig.scope.writer;
    expect(fold.pending()).toEqual([]);
    const models = rig.steps("model");
    expect(models.reduce((sum, { attempts }) => sum + attempts, 0)).toBe(rig.provider.asked.length);
    const threads = Object.keys(rig.scope.head().state!.threads);
    expect(threads.length).toBe(8);
    for (const messages of told) {
      const task = messages[0].content;
      // The last message of the client was never sent.
      const said = anthropicMessages.canonical({ model: "m", messages: messages.slice(0, -1) }).messages;
      const items = await Promise.all(threads.map((thread) => rig.items(thread)));
      const mine = items.find(([first]) => (first!.content[0] as Wire).text === task);
      expect(mine).toEqual(said);
    }
  } finally {
    await rig.end();
  }
});
