/** Kill -9 of a command behind the gateway at any moment, also while it is driven: what stands on record is never asked for again. */
import { afterEach, expect, test } from "vitest";
import { readScope } from "../../src/scope/view.ts";
import { openStore } from "../../src/trace/store.ts";
import { random } from "../support/crash.ts";
import { answerTurns, DONE, FILES, filesAt, GATEWAY, LAST } from "../support/driven.ts";
import { type Provider, startProvider } from "../support/provider.ts";
import { runs, seed } from "../support/runs.ts";
import { newUser, type User } from "../support/user.ts";

let user: User;
let provider: Provider;
afterEach(async () => {
  user?.end();
  await provider?.close();
});

/** Answers that stand on record: as many as there are different requests that got one. */
async function recorded(): Promise<number> {
  const store = await openStore(user.store);
  try {
    const { fold } = await readScope(store, "g");
    const models = fold.sealed.filter(({ intent, outcome }) => intent.kind === "model" && outcome?.status === "done");
    return new Set(models.map(({ intent }) => intent.what)).size;
  } finally {
    await store.close();
  }
}

test("whenever its owner is killed, it comes to the same end, and asks for no answer that stands on record", async () => {
  user = await newUser(FILES);
  let asked: number[] = [];
  provider = await startProvider(
    answerTurns((turn) => {
      asked.push(turn);
      return true;
    }),
  );
  const typed = { env: { ANTHROPIC_API_KEY: "sk-planted-key", ANTHROPIC_BASE_URL: provider.url } };
  const next = random(seed);
  await user.shepherd(["init"]);
  let known = 0;
  for (let round = 0; round < runs(60, 8); round++) {
    asked = [];
    const running = user.start(known === 0 ? GATEWAY : ["resume", "g"], typed);
    const timer = setTimeout(() => running.process.kill("SIGKILL"), 200 + next() * 900);
    await running.ended;
    clearTimeout(timer);
    expect(asked.filter((turn) => turn < known)).toEqual([]);
    known = await recorded().catch(() => 0);
  }
  asked = [];
  await user.does(known === 0 ? GATEWAY : ["resume", "g"], 0, typed);
  expect(asked).toEqual(Array.from({ length: LAST + 1 - known }, (_, k) => known + k));
  expect(await filesAt(user, "g")).toEqual(DONE);
  await user.does(["fsck", "--full"]);
  await user.does(["replay", "g"]);
}, 300_000);
