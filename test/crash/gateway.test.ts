/** Kill -9 of the gateway at any moment: what a program was told stands in the trace, and the next command goes on. */
import { afterEach, expect, test } from "vitest";
import { readScope } from "../../src/scope/view.ts";
import { openStore } from "../../src/trace/store.ts";
import { random } from "../support/crash.ts";
import { post } from "../support/gateway-rig.ts";
import { anthropicEvents, type Provider, startProvider } from "../support/provider.ts";
import { runs, seed } from "../support/runs.ts";
import { newUser, type Running, type User, until } from "../support/user.ts";

let user: User;
let provider: Provider;
afterEach(async () => {
  user?.end();
  await provider?.close();
});

const urlOf = async (running: Running): Promise<string> => {
  await until(
    () => running.out.includes('"ANTHROPIC_BASE_URL"'),
    () => running.err,
  );
  const line = running.out.split("\n").find((each) => each.includes("ANTHROPIC_BASE_URL"))!;
  return (JSON.parse(line) as { ANTHROPIC_BASE_URL: string }).ANTHROPIC_BASE_URL;
};

test("what was sent has its intent, what was told is recorded, and all has its outcome after the next command", async () => {
  user = await newUser();
  let calls = 0;
  provider = await startProvider(async (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const k = ++calls;
    const use = { type: "tool_use", id: `toolu_${k}`, name: "Bash", input: { command: `${k}` } };
    for (const event of anthropicEvents([{ type: "text", text: `answer ${k}` }, use], { id: `msg_${k}` })) {
      response.write(event);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    response.end();
  });
  const next = random(seed);
  const start = (): Running =>
    user.start(["gateway", "--scope", "g", "--json", "--upstream", `anthropic=${provider.url}`], {
      env: { ANTHROPIC_API_KEY: "sk-planted-key" },
    });
  let told = 0;
  for (let round = 0; round < runs(30, 6); round++) {
    const running = start();
    const url = await urlOf(running);
    const messages: object[] = [{ role: "user", content: `round ${round}` }];
    const timer = setTimeout(() => running.process.kill("SIGKILL"), 20 + next() * 400);
    try {
      for (;;) {
        let seen = 0;
        const reply = await post(
          `${url}/v1/messages`,
          { model: "m", max_tokens: 1, messages },
          {
            headers: { "x-api-key": "shepherd" },
            onData: (soFar) => {
              seen = soFar.toString().split('"content_block_stop"').length - 1;
            },
          },
        );
        told += seen;
        if (!reply.whole) break;
        const id = `toolu_${calls}`;
        messages.push(
          {
            role: "assistant",
            content: [
              { type: "text", text: `answer ${calls}` },
              { type: "tool_use", id, name: "Bash", input: {} },
            ],
          },
          { role: "user", content: [{ type: "tool_result", tool_use_id: id, content: "ok" }] },
        );
      }
    } catch {
      // It is gone.
    }
    await running.ended;
    clearTimeout(timer);
  }
  // Another verb ends what is in doubt.
  await user.does(["exec", "g", "--", "true"]);
  await user.does(["fsck", "--full"]);
  const store = await openStore(user.store);
  const { fold } = await readScope(store, "g");
  const steps = [...fold.steps.values()];
  expect(steps.filter(({ outcome }) => !outcome)).toEqual([]);
  const models = steps.filter(({ intent }) => intent.kind === "model");
  expect(models.length).toBeGreaterThanOrEqual(provider.asked.length);
  const odd = models.filter(({ outcome }) => !["done", "cut", "aborted"].includes(outcome!.status));
  expect(odd.map(({ n, outcome }) => [n, outcome!.status])).toEqual([]);
  let blocks = 0;
  for await (const frame of store.logs.read(fold.header.id))
    if (frame.phase === "part" && frame.facts.part === "block") blocks++;
  // A block that the program has seen the end of is recorded.
  expect(blocks).toBeGreaterThanOrEqual(told);
  await store.close();

  const running = start();
  const url = await urlOf(running);
  expect(
    (await post(`${url}/v1/messages`, { model: "m", max_tokens: 1, messages: [{ role: "user", content: "last" }] }))
      .whole,
  ).toBe(true);
  running.process.kill("SIGINT");
  const done = await running.ended;
  expect(done.code).toBe(0);
  await user.does(["replay", "g"]);
}, 300_000);
