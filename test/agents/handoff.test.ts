/** Handoffs of runs of the real coding agents: a fresh conversation on files that stay, or that come from another run. */
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { Wire } from "../support/provider.ts";
import { until } from "../support/user.ts";
import * as claude from "./claude-rig.ts";
import * as codex from "./codex-rig.ts";
import type { AgentRig } from "./rig.ts";

let rig: AgentRig;
afterEach(() => rig.end());

interface Kind {
  command: string;
  /** Starts a provider that answers with one call, then what it is told otherwise. */
  start(): Promise<AgentRig>;
  /** What its model says: by turn and by what it was told first. */
  script(say: (turn: number, first: string) => { say: string; command?: string }): void;
  /** Messages of each request, as texts of who said what. */
  asked(): string[][];
}

const textOf = (content: Wire): string =>
  typeof content === "string" ? content : content.map((block: Wire) => block.text ?? "").join("\n");

const KINDS: Kind[] = [
  {
    command: "claude",
    start: async () => {
      rig = await claude.claudeRig();
      return rig;
    },
    script: (say) => {
      (rig as claude.Rig).other = (asked) => {
        const { say: words, command } = say(claude.turnsIn(asked), JSON.stringify(asked.json.messages[0]));
        return { say: words, ...(command && { call: [["Bash", { command, description: "do it" }]] }) };
      };
    },
    asked: () =>
      rig.provider.asked
        .filter(({ url }) => url.startsWith("/v1/messages"))
        .map(({ json }) => json.messages.map(({ role, content }: Wire) => `${role} ${textOf(content)}`)),
  },
  {
    command: "codex",
    start: async () => {
      rig = await codex.codexRig();
      return rig;
    },
    script: (say) => {
      (rig as codex.Rig).other = (asked, turn) => {
        const said = asked.json.input.filter(({ role }: Wire) => role === "user");
        const first = JSON.stringify(said);
        const { say: words, command } = say(turn, first);
        // Ids of calls are those of one conversation.
        const tag = first.includes("the parser is fine") ? "_b" : "";
        return { say: words, tag, ...(command && { call: [["exec_command", { cmd: command }]] }) };
      };
    },
    asked: () =>
      rig.provider.asked
        .filter(({ json }) => json?.input)
        .map(({ json }) =>
          json.input
            .filter(({ role }: Wire) => role === "user" || role === "assistant")
            .map(({ role, content }: Wire) => `${role} ${textOf(content)}`),
        ),
  },
];

/** Without what Codex says of where its home is in these tests. */
const ofShepherd = (said: string): string => said.replaceAll(/^WARNING: proceeding.*\n/gm, "");

const GUIDANCE = "Mind: the parser is fine.";

describe.each(KINDS)("$command", (kind) => {
  const has = (messages: string[], text: string): boolean => messages.some((each) => each.includes(text));

  test("begins anew with the guidance and its task, on the files that are there, and goes on again and again", async () => {
    await kind.start();
    fs.writeFileSync(join(rig.project, "a.txt"), "one\n");
    kind.script((turn, first) => {
      if (first.includes(GUIDANCE))
        return turn === 0 ? { say: "Anew.", command: "cat b.txt > c.txt" } : { say: "Anew done." };
      return turn === 0 ? { say: "First.", command: "echo b > b.txt" } : { say: "First done." };
    });
    expect((await rig.shepherd("run", kind.command, "change it all", "--scope", "it")).code).toBe(0);
    const before = kind.asked().length;
    const handed = await rig.shepherd("handoff", "it", GUIDANCE, "--json");
    expect([handed.code, handed.stderr]).toEqual([0, ""]);
    const { n, live } = JSON.parse(handed.stdout);
    expect(live).toBe(false);
    const resumed = await rig.shepherd("resume", "it");
    expect([resumed.code, ofShepherd(resumed.stderr)]).toEqual([0, ""]);
    const since = kind.asked().slice(before);
    expect(since.length).toBe(2);
    for (const messages of since) {
      expect(has(messages, `${GUIDANCE}\n\nchange it all`)).toBe(true);
      // Nothing of what was said before.
      expect(has(messages, "First.")).toBe(false);
    }
    expect((await rig.shepherd("cat", "it@", "c.txt")).stdout).toBe("b\n");
    const rows = await rig.log("it");
    expect(rows.filter((row) => row.n > n && row.kind === "model").map(({ thread }) => thread)).toEqual([
      "main",
      "main",
    ]);
    // Told more, it goes on from there.
    const more = kind.asked().length;
    kind.script(() => ({ say: "As you say." }));
    expect((await rig.shepherd("resume", "it", "and the docs")).code).toBe(0);
    const [last] = kind.asked().slice(more);
    expect(has(last!, GUIDANCE) && has(last!, "Anew done.") && has(last!, "and the docs")).toBe(true);
    expect(has(last!, "First.")).toBe(false);
    // Back before the handoff the conversation is that of then.
    expect((await rig.shepherd("revert", "it", String(n - 1))).code).toBe(0);
    const back = kind.asked().length;
    expect((await rig.shepherd("resume", "it", "how far are you?")).code).toBe(0);
    const [old] = kind.asked().slice(back);
    expect(has(old!, "First.") && has(old!, "how far are you?")).toBe(true);
    expect(has(old!, GUIDANCE)).toBe(false);
    expect((await rig.shepherd("fsck")).code).toBe(0);
    expect((await rig.shepherd("replay", "it")).code).toBe(0);
  });

  test("at work it is stopped and begins anew at once; the files of another run become its own", async () => {
    await kind.start();
    const gate = join(rig.home, "gate");
    fs.mkdirSync(gate);
    fs.writeFileSync(join(rig.project, "a.txt"), "one\n");
    kind.script((turn, first) => {
      if (first.includes("lead the way"))
        return turn === 0 ? { say: "Leading.", command: "echo led > led.txt" } : { say: "Led." };
      if (first.includes(GUIDANCE))
        return turn === 0 ? { say: "Anew.", command: "cat led.txt > c.txt; ls > ls.txt" } : { say: "Anew done." };
      return {
        say: "I wait.",
        command: `echo mine > mine.txt; touch ${gate}/begun; until [ -e ${gate}/go ]; do sleep 0.05; done`,
      };
    });
    expect((await rig.shepherd("run", kind.command, "lead the way", "--scope", "leader")).code).toBe(0);
    const child = rig.start("run", kind.command, "follow it", "--scope", "it", "--write", gate);
    let said = "";
    child.stderr!.on("data", (text: string) => {
      said += text;
    });
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    await until(
      () => fs.existsSync(join(gate, "begun")),
      () => said,
    );
    const handed = await rig.shepherd("handoff", "it", GUIDANCE, "--from", "leader@", "--json");
    expect(handed.code).toBe(0);
    expect(JSON.parse(handed.stdout)).toMatchObject({ live: true, from: { scope: "leader" } });
    expect([await ended, ofShepherd(said)]).toEqual([0, ""]);
    expect((await rig.shepherd("cat", "it@", "c.txt")).stdout).toBe("led\n");
    expect((await rig.shepherd("cat", "it@", "ls.txt")).stdout).toBe("a.txt\nc.txt\nled.txt\nls.txt\n");
    const asked = kind.asked().filter((messages) => has(messages, GUIDANCE));
    expect(asked.length).toBe(2);
    expect(has(asked[0]!, "I wait.")).toBe(false);
    // What it had itself is in the log, and comes back.
    const { n } = JSON.parse(handed.stdout);
    expect((await rig.shepherd("cat", `it@${n - 1}`, "mine.txt")).stdout).toBe("mine\n");
    expect((await rig.shepherd("undo")).code).toBe(3);
    expect((await rig.shepherd("revert", "it", String(n - 1))).code).toBe(0);
    expect((await rig.shepherd("cat", "it@", "mine.txt")).stdout).toBe("mine\n");
  });
});
