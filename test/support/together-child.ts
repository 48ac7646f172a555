/** One of several processes that share a provider and a login. It says `begun`, and at last what came of it. */
import * as fs from "node:fs";
import { claudeToken } from "../../src/gateway/login/claude.ts";
import { exclusiveBy, sharedLimiter } from "../../src/gateway/shared.ts";
import { openStore } from "../../src/trace/store.ts";

const [what, directory, upstream] = process.argv.slice(2) as [string, string, string];
const say = (text: string): void => void fs.writeSync(1, `${text}\n`);
const { signal } = new AbortController();

if (what === "pass") {
  say("begun");
  const waited = await sharedLimiter(directory).pass(upstream, signal);
  say(`left ${Date.now()} ${waited}`);
} else {
  const store = await openStore(directory);
  say("begun");
  say(`token ${await claudeToken({ env: process.env, exclusive: exclusiveBy(store.leases) })}`);
  await store.close();
}
