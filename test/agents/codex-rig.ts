/** The real Codex in a project of its own, before a scripted provider that speaks its protocol. */
import { execFile } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
// @ts-expect-error a script
import { agents } from "../../scripts/agents.mjs";
import { built } from "../support/built.ts";
import {
  type Asked,
  functionCall,
  outputText,
  type Provider,
  responsesEvents,
  startProvider,
  type Wire,
} from "../support/provider.ts";

/** An answer of the model: text, and calls as `[tool, input]`; a text as input is that of a custom tool. */
export interface Said {
  say: string;
  /** Part of the ids of its calls, where those of the main conversation have the same numbers. */
  tag?: string;
  call?: Array<[tool: string, input: object | string]>;
}

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

export interface Rig {
  home: string;
  project: string;
  store: string;
  provider: Provider;
  /** What the model says, by the number of its turns in a conversation. Past the end it says `done`. */
  script: Said[];
  /** Other answers for requests that are not of the main conversation: null leaves them to the script. */
  other: (asked: Asked, turn: number) => Said | null;
  env: NodeJS.ProcessEnv;
  shepherd(...args: string[]): Promise<Ran>;
  /** Starts it; not waited for. */
  start(...args: string[]): ReturnType<typeof execFile>;
  log(run: string): Promise<Wire[]>;
  /** What the provider was asked, without what a client says of itself. */
  asked(): Wire[];
  end(): Promise<void>;
}

export const turnsIn = ({ json }: Asked): number => json.input.filter(({ role }: Wire) => role === "assistant").length;

export const itemsOf = (turn: number, { say, call = [], tag = "" }: Said): Wire[] => [
  { ...outputText(say), id: `msg_${turn}${tag}` },
  ...call.map(([tool, input], i) => {
    const id = `call_${turn}_${i}${tag}`;
    if (typeof input !== "string") return functionCall(id, tool, input);
    return { type: "custom_tool_call", id: `ctc_${id}`, call_id: id, name: tool, input, status: "completed" };
  }),
];

export async function codexRig(model = "gpt-5.5"): Promise<Rig> {
  const home = fs.mkdtempSync(join(tmpdir(), "shepherd-codex-"));
  const project = join(home, "project");
  const cli = await built();
  const bin = agents() as string;
  for (const each of [project, join(home, ".codex")]) fs.mkdirSync(each);
  fs.writeFileSync(join(home, ".codex", "config.toml"), `model = "${model}"\n`);
  fs.writeFileSync(join(home, ".codex", "auth.json"), '{"OPENAI_API_KEY":"sk-planted-in-auth-0123456789"}');
  const provider = await startProvider((asked, response) => {
    if (asked.url !== "/v1/responses") return void response.writeHead(404).end();
    const turn = turnsIn(asked);
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of responsesEvents(
      itemsOf(turn, rig.other(asked, turn) ?? rig.script[turn] ?? { say: "done" }),
      `resp_${turn}`,
    ))
      response.write(event);
    response.end();
  });
  const env: NodeJS.ProcessEnv = {
    PATH: `${bin}:${process.env.PATH}`,
    HOME: home,
    SHEPHERD_DIR: join(home, "store"),
    OPENAI_BASE_URL: `${provider.url}/v1`,
    OPENAI_API_KEY: "sk-planted-0123456789abcdef",
    NO_COLOR: "1",
  };
  const start: Rig["start"] = (...args) =>
    execFile(process.execPath, [cli, ...args], { cwd: project, env, maxBuffer: 1 << 28 });
  const rig: Rig = {
    home,
    project,
    store: env.SHEPHERD_DIR!,
    provider,
    script: [],
    other: () => null,
    env,
    start,
    shepherd: (...args) =>
      new Promise((resolve) => {
        const options = { cwd: project, env, maxBuffer: 1 << 28 };
        const child = execFile(process.execPath, [cli, ...args], options, (error, stdout, stderr) =>
          resolve({ code: error ? (child.exitCode ?? 1) : 0, stdout, stderr }),
        );
        child.stdin?.end();
      }),
    log: async (run) => {
      const { stdout, code, stderr } = await rig.shepherd("log", run, "--json");
      if (code !== 0) throw new Error(stderr);
      return stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
        .sort((a, b) => a.n - b.n);
    },
    asked: () => provider.asked.filter(({ json }) => json).map(({ json: { client_metadata: _, ...rest } }) => rest),
    end: async () => {
      await provider.close();
      fs.rmSync(home, { recursive: true, force: true });
    },
  };
  return rig;
}
