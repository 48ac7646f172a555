#!/usr/bin/env node
// A coding agent in its smallest form: one tool, one hook, a record of its own. It asks a model that speaks Anthropic Messages.
import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";

if (process.argv[2] === "--version") {
  console.log("1.0.0");
  process.exit(0);
}
const [record, hook, task = ""] = process.argv.slice(2);
mkdirSync(dirname(record), { recursive: true });
const said = existsSync(record)
  ? readFileSync(record, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
  : [];
const note = (message) => {
  said.push(message);
  appendFileSync(record, `${JSON.stringify(message)}\n`);
};
const tell = (event) => spawnSync("sh", ["-c", hook], { input: JSON.stringify(event), encoding: "utf8" });

tell({ event: "start" });
if (task) note({ role: "user", content: task });
for (;;) {
  const response = await fetch(`${process.env.ANTHROPIC_BASE_URL}/v1/messages`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": process.env.ANTHROPIC_API_KEY },
    body: JSON.stringify({ model: "any", max_tokens: 100, messages: said, tools: [{ name: "sh" }] }),
  });
  if (!response.ok) throw new Error(`The model says ${response.status}.`);
  const { content } = await response.json();
  note({ role: "assistant", content });
  const results = [];
  for (const { type, id, name, input, text } of content) {
    if (type === "text") console.log(text);
    if (type !== "tool_use") continue;
    const asked = tell({ event: "before", id, name, input });
    if (asked.status !== 0) {
      results.push({ type: "tool_result", tool_use_id: id, content: asked.stderr.trim(), is_error: true });
      continue;
    }
    const { command } = JSON.parse(asked.stdout).input ?? input;
    const done = spawnSync("sh", ["-c", command], { encoding: "utf8" });
    tell({ event: "after", id, failed: done.status !== 0 });
    results.push({ type: "tool_result", tool_use_id: id, content: done.stdout + done.stderr });
  }
  if (results.length === 0) break;
  note({ role: "user", content: results });
}
