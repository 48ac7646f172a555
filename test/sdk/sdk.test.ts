/** Requests of the built-in agent against those of the official clients, byte for byte. */
import { readFileSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runAgent } from "../../src/agent/loop.ts";
import { openModel } from "../../src/agent/models.ts";
import { bodyOf } from "../../src/agent/ports/provider.ts";
import { requestOf } from "../../src/agent/request.ts";
import { resumeAgent } from "../../src/agent/resume.ts";
import { decodeJson } from "../../src/trace/bytes.ts";
import { agentRig, type Rig, tool } from "../support/agent-rig.ts";
import { record } from "./record.ts";
import { MORE, RESULTS, SCENES, SYSTEM, serve, TASK, TOOL, told } from "./scenes.ts";

const FILE = `${import.meta.dirname}/recorded.json`;
const sdks = process.env.SHEPHERD_SDKS;
if (sdks) writeFileSync(FILE, `${JSON.stringify(await record(sdks), null, 2)}\n`);
const recorded = JSON.parse(readFileSync(FILE, "utf8")) as { [api: string]: ReturnType<typeof told>[] };

let rig: Rig;
beforeEach(async () => {
  rig = await agentRig();
});
afterEach(() => rig.end());

test.each(SCENES)("$api: what the agent sends is what the provider's own client sends", async (scene) => {
  const server = await serve(scene);
  try {
    const key = "sk-recorded";
    const env = { ANTHROPIC_API_KEY: key, OPENAI_API_KEY: key };
    const base = { ANTHROPIC_BASE_URL: server.url, OPENAI_BASE_URL: `${server.url}/v1` };
    const name = scene.api === "openai-chat" ? `openai-chat:${scene.model}` : scene.model;
    const model = openModel(name, { env: { ...env, ...base } });
    const look = {
      ...tool(TOOL.name, "shared", async ({ path }) => {
        const [status, text] = RESULTS[path as keyof typeof RESULTS];
        return { status, text };
      }),
      description: TOOL.description,
    };
    const signal = new AbortController().signal;
    const options = { model, signal, tools: [look], system: SYSTEM };
    const scope = await rig.start(TASK);
    expect(await runAgent(scope, options)).toMatchObject({ stopped: "done", text: "It is fixed." });
    expect(await resumeAgent(scope, { ...options, instruction: MORE })).toMatchObject({ text: "They pass." });
    const sent = server.asked.map(told);
    expect(sent).toEqual(recorded[scene.api]);
    // And each follows from its record.
    const steps = [...scope.writer.fold.steps.values()].filter(({ intent }) => intent.kind === "model");
    expect(steps).toHaveLength(3);
    for (const [at, { intent }] of steps.entries()) {
      const request = decodeJson(await requestOf(rig.store, intent.what!));
      expect(JSON.parse(bodyOf(request as never).toString())).toEqual(JSON.parse(sent[at]!.body));
    }
  } finally {
    await server.close();
  }
});
