/** The real Claude Code in a project of its own, before a scripted provider that speaks its protocol. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
// @ts-expect-error a script
import { agents } from "../../scripts/agents.mjs";
import { built } from "../support/built.ts";
import {
  type Answer,
  type Asked,
  anthropicEvents,
  type Provider,
  startProvider,
  type Wire,
} from "../support/provider.ts";

/** An answer of the model: text, and calls as `[tool, input]`. */
export interface Said {
  say?: string;
  call?: Array<[tool: string, input: Wire]>;
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
  other: (asked: Asked) => Said | null;
  shepherd(...args: string[]): Promise<Ran>;
  /** Starts it; not waited for. */
  start(...args: string[]): ReturnType<typeof execFile>;
  env: NodeJS.ProcessEnv;
  log(run: string): Promise<Wire[]>;
  end(): Promise<void>;
}

export const turnsIn = ({ json }: Asked): number =>
  json.messages.filter(({ role }: Wire) => role === "assistant").length;

export async function claudeRig(): Promise<Rig> {
  const home = fs.mkdtempSync(join(tmpdir(), "shepherd-claude-"));
  const project = join(home, "project");
  const cli = await built();
  const bin = agents() as string;
  for (const each of [project, join(home, ".claude")]) fs.mkdirSync(each);
  const answer: Answer = async (asked, response) => {
    if (!asked.url.startsWith("/v1/messages")) return void response.writeHead(404).end();
    const turn = turnsIn(asked);
    const said = rig.other(asked) ?? rig.script[turn] ?? { say: "done" };
    const blocks: Wire[] = said.say === undefined ? [] : [{ type: "text", text: said.say }];
    for (const [i, [name, input]] of (said.call ?? []).entries())
      blocks.push({ type: "tool_use", id: `toolu_${turn}_${i}_${rig.tag(asked)}`, name, input });
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of anthropicEvents(blocks, { id: `msg_${turn}`, model: asked.json.model })) response.write(event);
    response.end();
  };
  const provider = await startProvider(answer);
  const env: NodeJS.ProcessEnv = {
    PATH: `${bin}:${process.env.PATH}`,
    HOME: home,
    SHEPHERD_DIR: join(home, "store"),
    ANTHROPIC_BASE_URL: provider.url,
    ANTHROPIC_API_KEY: "sk-ant-planted-0123456789abcdef",
    NO_COLOR: "1",
    npm_config_update_notifier: "false",
    GIT_AUTHOR_NAME: "a",
    GIT_AUTHOR_EMAIL: "a@example.invalid",
    GIT_COMMITTER_NAME: "a",
    GIT_COMMITTER_EMAIL: "a@example.invalid",
  };
  const start: Rig["start"] = (...args) =>
    execFile(process.execPath, [cli, ...args], { cwd: project, env, maxBuffer: 1 << 28 });
  const rig: Rig & { tag(asked: Asked): string } = {
    home,
    project,
    store: env.SHEPHERD_DIR!,
    provider,
    script: [],
    other: () => null,
    env,
    // Providers give each call an id of its own; the same conversation must get the same.
    tag: ({ json }) => createHash("sha256").update(JSON.stringify(json.messages[0])).digest("hex").slice(0, 8),
    start,
    shepherd: (...args) =>
      new Promise((resolve) => {
        const child = execFile(
          process.execPath,
          [cli, ...args],
          { cwd: project, env, maxBuffer: 1 << 28 },
          (error, stdout, stderr) => resolve({ code: error ? (child.exitCode ?? 1) : 0, stdout, stderr }),
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
    end: async () => {
      await provider.close();
      fs.rmSync(home, { recursive: true, force: true });
    },
  };
  return rig;
}
