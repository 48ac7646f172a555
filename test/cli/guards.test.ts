/** Gates that belong to a run, from the command line: what holds while they are away, and what they find when they come back. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { bash, newUser, put, type Running, type User, until } from "../support/user.ts";

let user: User;
beforeEach(async () => {
  user = await newUser();
  mkdirSync(join(user.directory, "out"));
});
afterEach(() => user.end());

/** A call outside, which is seen when it is made. */
const act = (name: string) => bash(`echo ${name} >> ${join(user.directory, "out")}/acted`);
const acted = async (run: string): Promise<string[]> =>
  (await user.does(["log", run, "--json"]))
    .objects<{ n: number; kind: string; status: string }>()
    .filter(({ kind }) => kind === "tool")
    .sort((a, b) => a.n - b.n)
    .map(({ status }) => status);

const start = (turns: Parameters<User["script"]>[0], ...options: string[]): Running =>
  user.start([
    ...["run", "--scope", "fix", "--write", join(user.directory, "out"), ...options],
    ...["--model", user.script([...turns, { say: "the end" }]), "go"],
  ]);

const says = (running: Running, text: string): Promise<void> =>
  until(
    () => running.err.includes(text),
    () => running.out + running.err,
  );

const gate = async (...options: string[]): Promise<Running> => {
  const at = user.start(["gate", "fix", "--as", "docs", ...options, "--json"]);
  await says(at, "Decides by patterns before calls of fix");
  return at;
};

const status = async () => (await user.does(["status", "--json"])).objects();

test("a run waits for its gate, over kill -9 of the gate and of its own process, and what was decided is told and not asked again", async () => {
  const out = join(user.directory, "out");
  writeFileSync(join(out, "hold"), `touch ${out}/held; until [ -e ${out}/go ]; do sleep 0.01; done`);
  const calls = [act("one"), act("two"), bash(`sh ${out}/hold`), act("three")];
  const run = start(
    calls.map((each) => ({ call: [each] })),
    "--guard",
    "docs=wait",
  );
  await says(run, "shepherd: fix waits for its gate docs, before step 2: `shepherd gate fix --as docs`.");
  expect(await status()).toMatchObject([
    { state: "waiting", guards: { docs: "wait" }, waits: { steps: [2], gates: ["docs"] } },
  ]);
  expect((await user.does(["status"])).out).toMatch(/^fix +waiting .* for gate docs {2}--guard docs=wait$/m);

  const first = await gate("--allow", "*", "--deny", "bash(*two*)");
  await until(
    () => existsSync(join(out, "held")),
    () => first.out + run.err,
  );
  expect((await user.does(["gate", "fix", "--as", "docs", "--json"], 3)).err).toBe(
    "shepherd: A gate docs is at fix already: end that one first, or give this one another name.\n",
  );
  first.process.kill("SIGKILL");
  await first.ended;
  writeFileSync(join(out, "go"), "");
  await says(run, "waits for its gate docs, before step 8");
  run.process.kill("SIGKILL");
  await run.ended;
  expect(await status()).toMatchObject([{ state: "interrupted", waits: null }]);

  const again = user.start(["resume", "fix"]);
  await says(again, "waits for its gate docs");
  const second = await gate("--allow", "*");
  expect((await again.ended).code).toBe(0);
  expect((await second.ended).objects()).toMatchObject([
    { n: 2, tool: "bash", decision: "allow", by: "pattern", earlier: true },
    { n: 4, tool: "bash", decision: "deny", reason: "the user does not allow what fits bash(*two*)", earlier: true },
    { n: 6, tool: "bash", decision: "allow", by: "pattern", earlier: true },
    { n: 8, tool: "bash", decision: "allow", pattern: "*", earlier: false },
  ]);
  expect(await acted("fix")).toEqual(["done", "denied", "done", "done"]);
  expect(readFileSync(join(out, "acted"), "utf8")).toBe("one\nthree\n");
});

test("what is denied while a gate is away is told to the agent, and a revert, a fork and an instruction drop nothing of it", async () => {
  const run = start([{ call: [put("b.txt", "b\n")] }], "--guard", "docs=deny", "--guard", "lax=allow");
  expect((await run.ended).code).toBe(0);
  expect(await acted("fix")).toEqual(["denied"]);
  expect((await user.does(["show", "fix", "2", "--output"])).out).toContain(
    "the gate docs is not there, and what it was not asked about is denied",
  );
  await user.does(["revert", "fix", "0"]);
  await user.does(["resume", "fix", "once more"]);
  expect((await acted("fix")).at(-1)).toBe("denied");
  await user.does(["fork", "fix", "0", "--scope", "other"]);
  await user.does(["resume", "other"]);
  expect(await acted("other")).toEqual(["denied"]);
  expect((await status()).map(({ guards }) => guards)).toEqual(Array(2).fill({ docs: "deny", lax: "allow" }));

  const model = user.script([{ say: "." }], "more");
  const from = (...guards: string[]) => ["run", "--from", "fix@0", "--model", model, ...guards, "more"];
  expect((await user.does(from("--guard", "docs=wait"), 3)).err).toBe(
    "shepherd: fix has --guard docs=deny, so what goes on from it has no --guard docs=wait.\n",
  );
  expect((await user.does(from("--guard", "new=allow"), 3)).err).toBe(
    "shepherd: fix has no gate new, so what goes on from it has no --guard new=allow.\n",
  );
  await user.does(from("--scope", "less", "--guard", "lax=wait", "--guard", "new=deny"));
  expect((await status())[0]).toMatchObject({ scope: "less", guards: { docs: "deny", lax: "wait", new: "deny" } });
});

test("Ctrl-C ends a run that waits for its gate, and it goes on with the same call", async () => {
  const run = start([{ call: [act("one")] }], "--guard", "docs=wait");
  await says(run, "waits for its gate docs");
  run.process.kill("SIGINT");
  expect((await run.ended).code).toBe(1);
  expect(await status()).toMatchObject([{ state: "aborted", waits: null }]);
  const again = user.start(["resume", "fix"]);
  await says(again, "waits for its gate docs");
  const at = await gate("--allow", "*");
  expect((await again.ended).code).toBe(0);
  expect((await at.ended).objects()).toMatchObject([{ n: 2, decision: "allow" }]);
  expect(await acted("fix")).toEqual(["done"]);
});

test("what is declared wrongly is refused in one sentence, before anything is made", async () => {
  const model = user.script([{ say: "." }]);
  const refused = async (...options: string[]): Promise<string> =>
    (await user.does(["run", ...options, "--model", model, "go"], 2)).err;
  for (const odd of ["docs", "docs=", "docs=maybe", "=deny=wait"])
    expect(await refused("--guard", odd)).toBe(
      `shepherd: --guard takes NAME=allow, NAME=deny or NAME=wait, not ${JSON.stringify(odd)}.\n`,
    );
  expect(await refused("--guard", "Docs=deny")).toContain('"Docs" is no name for a gate: use lower-case letters');
  expect(await refused("--guard", "a=deny", "--guard", "a=wait")).toContain("--guard names a twice");
  expect((await user.does(["run", "--guard", "a=deny", "--", "true"], 2)).err).toContain("--guard is for agents");
  expect((await user.does(["gate", "--as", "Two words"], 2)).err).toContain('"Two words" is no name for a gate');
  expect(await status()).toEqual([]);
});
