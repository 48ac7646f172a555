// A plugin for sample-agent.mjs: all that Shepherd has to know of an agent.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const program = join(import.meta.dirname, "sample-agent.mjs");
const linesOf = (record) => record.toString().split("\n").filter(Boolean);
const ids = (message, key) =>
  (Array.isArray(message.content) ? message.content : []).flatMap((block) => block[key] ?? []);

export default {
  name: "sample",
  command: "sample",
  detect: async () =>
    existsSync(program)
      ? { program, version: execFileSync(program, ["--version"]).toString().trim(), support: "exact" }
      : null,
  problems: () => [],
  configPlace: () => ({ path: join(homedir(), ".sample"), hide: [] }),
  gather: () => {},
  start: ({ program, config, urls, hook, session, prompt }) => ({
    argv: [program, join(config, `${session}.jsonl`), hook, ...(prompt === null ? [] : [prompt])],
    env: { ANTHROPIC_BASE_URL: urls.anthropic, ANTHROPIC_API_KEY: "shepherd" },
    told: (line) => line,
  }),
  session: {
    path: (_workspace, session) => `${session}.jsonl`,
    cut: (record, { turns, answered, made, open }) => {
      if (open.length > 0 && answered.length + made.length > 0) return null;
      const lines = linesOf(record);
      let turn = 0;
      for (const [at, line] of lines.entries()) {
        const message = JSON.parse(line);
        if (message.role === "assistant") turn++;
        const results = answered.every((id) => ids(message, "tool_use_id").includes(id));
        const here =
          turn === turns && (answered.length > 0 ? message.role === "user" && results : message.role === "assistant");
        if (here) return Buffer.from(`${lines.slice(0, open.length > 0 ? at : at + 1).join("\n")}\n`);
      }
      return null;
    },
    rewrite: (record, call, text) => {
      const messages = linesOf(record).map((line) => JSON.parse(line));
      const result = { type: "tool_result", tool_use_id: call, content: text };
      const asks = messages.findIndex((message) => ids(message, "id").includes(call));
      if (asks >= 0) {
        const told = messages[asks + 1] ?? { role: "user", content: [] };
        messages[asks + 1] = {
          ...told,
          content: [...told.content.filter((each) => each.tool_use_id !== call), result],
        };
      }
      return Buffer.from(messages.map((message) => `${JSON.stringify(message)}\n`).join(""));
    },
  },
  asMessage: (text) => text,
  outgoing: (body) => body,
  traits: () => ({}),
  hook: {
    waits: 86_400_000,
    decode: ({ event, id, name, input, failed }) => {
      if (event === "before") return { kind: "before", call: id, name, input };
      if (event === "after") return { kind: "after", call: id, status: failed ? "failed" : "done" };
      return { kind: "other" };
    },
    allow: (input) => (input === undefined ? {} : { input }),
  },
};
