/** A program behind the gateway whose work goes otherwise if it is done on other files, or twice. */
import * as fs from "node:fs";
import { join } from "node:path";
import { detect } from "../../src/scope/exec/abilities.ts";
import { type Answer, anthropicEvents, streamed } from "./provider.ts";
import type { User } from "./user.ts";

/** A small agent that runs what its model asks for, all calls of a turn one after the other. */
const AGENT = `
import { execFileSync } from "node:child_process";
const messages = [{ role: "user", content: "go" }];
for (;;) {
  const headers = { "content-type": "application/json", "x-api-key": process.env.ANTHROPIC_API_KEY };
  const body = JSON.stringify({ model: "claude-haiku-4-5", max_tokens: 1, stream: true, messages });
  const reply = await fetch(process.env.ANTHROPIC_BASE_URL + "/v1/messages", { method: "POST", headers, body });
  if (!reply.ok) { console.log(await reply.text()); process.exit(3); }
  const content = [];
  let json = "";
  for (const line of (await reply.text()).split("\\n").filter((each) => each.startsWith("data: "))) {
    const event = JSON.parse(line.slice(6));
    if (event.type === "content_block_start") { content.push(event.content_block); json = ""; }
    if (event.delta?.type === "text_delta") content.at(-1).text += event.delta.text;
    if (event.delta?.type === "input_json_delta") json += event.delta.partial_json;
    if (event.type === "content_block_stop" && content.at(-1).type === "tool_use") content.at(-1).input = JSON.parse(json);
  }
  messages.push({ role: "assistant", content });
  const calls = content.filter(({ type }) => type === "tool_use");
  if (calls.length === 0) break;
  const run = ({ input }) => execFileSync("bash", ["-c", input.command], { encoding: "utf8" });
  messages.push({ role: "user", content: calls.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: run(call) })) });
}
`;

export const { samePath } = await detect();

/** What each turn runs. Each counts on from what it finds, so that none of them can run twice unseen. */
const COUNT = "echo $(($(cat n) + 1)) > n; cat n";
const TURNS: readonly string[][] = [
  [COUNT],
  [`${COUNT}; echo two > dir/two`, "sed -i s/one/ONE/ a.txt; cat a.txt"],
  [`sleep \${SLOW:-0}; ${COUNT}; rm dir/b.txt; echo $ODD`],
  [`${COUNT}; ${samePath ? "ls /tmp; echo x > /tmp/x" : ""}`],
];
/** The turn that ends its work. */
export const LAST = TURNS.length;
/** Its files behind that. */
export const DONE = { "a.txt": "ONE\n", "dir/two": "two\n", n: "4\n" };

export const FILES = { "a.txt": "one\n", "dir/b.txt": "", n: "0\n", "agent.mjs": AGENT };
export const GATEWAY = ["gateway", "--scope", "g", "--", process.execPath, "agent.mjs"];

/** Its model: what it says follows from how often it has answered. @param hears of each turn; false: that is not answered */
export const answerTurns =
  (hears: (turn: number) => boolean): Answer =>
  (request, ...rest) => {
    const turn = request.json.messages.filter(({ role }: { role: string }) => role === "assistant").length;
    if (!hears(turn)) return;
    const calls = (TURNS[turn] ?? []).map((command, k) => ({
      type: "tool_use",
      id: `t${turn}-${k}`,
      name: "Bash",
      input: { command },
    }));
    const said = [{ type: "text", text: `turn ${turn}` }, ...calls];
    return streamed(anthropicEvents(said, { id: `msg_${turn}` }))(request, ...rest);
  };

/** The files of a run as it stands. */
export async function filesAt(user: User, run: string): Promise<{ [path: string]: string }> {
  const to = join(user.directory, `out-${run}-${Date.now()}`);
  await user.does(["checkout", `${run}@`, to]);
  const found: { [path: string]: string } = {};
  for (const entry of fs.readdirSync(to, { recursive: true, withFileTypes: true }))
    if (entry.isFile() && entry.name !== "agent.mjs") {
      const path = join(entry.parentPath, entry.name);
      found[path.slice(to.length + 1)] = fs.readFileSync(path, "utf8");
    }
  return found;
}
