/** A real coding agent in a project of its own, before a scripted provider: what its protocol has no part in. */
import { execFile } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
// @ts-expect-error a script
import { agents } from "../../scripts/agents.mjs";
import { openStore } from "../../src/trace/store.ts";
import { built } from "../support/built.ts";
import { type Provider, startProvider, type Wire } from "../support/provider.ts";

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

export interface AgentRig {
  home: string;
  project: string;
  store: string;
  provider: Provider;
  env: NodeJS.ProcessEnv;
  /** Path of the command's `shepherd.js`. */
  command: string;
  shepherd(...args: string[]): Promise<Ran>;
  /** Starts it; not waited for. */
  start(...args: string[]): ReturnType<typeof execFile>;
  /** Its rows, oldest first. */
  log(run: string): Promise<Wire[]>;
  /** Files of the store that have a text in them as it stands there. */
  filesWith(text: string): string[];
  /** Files of the store and objects in it, which may be deflated, that have a text in them. */
  placesWith(text: string): Promise<string[]>;
  end(): Promise<void>;
}

/**
 * The provider answers nothing yet.
 * @param configured the directory of its configuration, below its home
 * @param place where its home is made; no scope sees what is below /tmp
 */
export async function agentRig(configured: string, place = tmpdir()): Promise<AgentRig> {
  const home = fs.mkdtempSync(join(place, ".shepherd-agent-"));
  const project = join(home, "project");
  const store = join(home, "store");
  const cli = await built();
  for (const each of [project, join(home, configured)]) fs.mkdirSync(each);
  const provider = await startProvider((_, response) => void response.writeHead(404).end());
  const env: NodeJS.ProcessEnv = {
    PATH: `${agents() as string}:${process.env.PATH}`,
    HOME: home,
    SHEPHERD_DIR: store,
    NO_COLOR: "1",
  };
  const options = { cwd: project, env, maxBuffer: 1 << 28 };
  const rig: AgentRig = {
    home,
    project,
    store,
    provider,
    env,
    command: cli,
    start: (...args) => execFile(process.execPath, [cli, ...args], options),
    shepherd: (...args) =>
      new Promise((resolve) => {
        const child = execFile(process.execPath, [cli, ...args], options, (error, stdout, stderr) =>
          resolve({ code: error ? (child.exitCode ?? 1) : 0, stdout, stderr }),
        );
        child.stdin?.end();
      }),
    log: async (run) => {
      const { stdout, code, stderr } = await rig.shepherd("log", run, "--json");
      if (code !== 0) throw new Error(stderr);
      return stdout
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line))
        .sort((a, b) => a.n - b.n);
    },
    filesWith: (text) =>
      fs
        .readdirSync(store, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .filter((path) => fs.readFileSync(path).includes(text)),
    placesWith: async (text) => {
      const opened = await openStore(store);
      try {
        const found = rig.filesWith(text);
        for (const pack of opened.objects.packs())
          for (const [id] of pack.entries())
            if (Buffer.from((await opened.objects.get(id)) ?? []).includes(text)) found.push(id);
        return found;
      } finally {
        await opened.close();
      }
    },
    end: async () => {
      await provider.close();
      fs.rmSync(home, { recursive: true, force: true });
    },
  };
  return rig;
}
