/** The user's login of Claude Code: many runs share it, it is renewed once for all, and no run has it. */
import * as fs from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Answer, answered, type Provider, startProvider } from "../support/provider.ts";
import { until } from "../support/user.ts";
import { claudeRig, type Rig } from "./claude-rig.ts";

const MANY = 8;
/** All tokens of these tests have this in them, and nothing else has. */
const PLANTED = "planted-token";
const access = (k: number): string => `sk-ant-oat01-${PLANTED}-${k}`;
const renewal = (k: number): string => `sk-ant-ort01-${PLANTED}-${k}`;

let rig: Rig;
let tokens: Provider;
/** How often the login was renewed. */
let renewed = 0;
/** The first token that the provider takes. */
let taken = 0;
/** Whether all tokens were taken back. */
let revoked = false;

beforeEach(async () => {
  rig = await claudeRig(homedir());
  renewed = 0;
  taken = 0;
  revoked = false;
  tokens = await startProvider(renew);
  delete rig.env.ANTHROPIC_API_KEY;
  delete rig.env.ANTHROPIC_BASE_URL;
  rig.env.SHEPHERD_ANTHROPIC_TOKEN_URL = tokens.url;
  // A login goes to the provider itself only, so the way there has to lead here.
  const detour = join(rig.home, "detour.mjs");
  fs.writeFileSync(detour, detourTo(rig.provider));
  rig.env.NODE_OPTIONS = `--import=${detour}`;
  const says = rig.provider.answer;
  rig.provider.answer = (...all) => (isGood(all[0].headers.authorization) ? says : REFUSED)(...all);
});
afterEach(async () => {
  await tokens.close();
  await rig.end();
});

/** Gives a token for each renewal once. Who comes with one a second time may have stolen it. */
const renew: Answer = async (asked, response, request) => {
  // So long that all others come meanwhile.
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const { grant_type, refresh_token } = asked.json ?? {};
  if (revoked || grant_type !== "refresh_token" || refresh_token !== renewal(renewed)) {
    revoked = true;
    return answered(400, { error: "invalid_grant" })(asked, response, request);
  }
  renewed++;
  const granted = { access_token: access(renewed), refresh_token: renewal(renewed), expires_in: 28_800 };
  return answered(200, granted)(asked, response, request);
};
const isGood = (authorization: string | undefined): boolean =>
  !revoked && taken <= renewed && authorization === `Bearer ${access(renewed)}`;
const REFUSED = answered(401, {
  type: "error",
  error: { type: "authentication_error", message: "OAuth token has expired." },
});

/** What a process of Node loads to ask a scripted provider for all that it asks Anthropic. */
const detourTo = ({ url }: Provider): string => `
import http from "node:http";
import https from "node:https";
import { syncBuiltinESMExports } from "node:module";
const { request } = https;
https.request = (options, ...more) =>
  options.hostname === "api.anthropic.com"
    ? http.request({ ...options, ...${JSON.stringify(here(url))}, agent: undefined }, ...more)
    : request(options, ...more);
syncBuiltinESMExports();
`;
function here(url: string): object {
  const { protocol, hostname, port } = new URL(url);
  return { protocol, hostname, port };
}

const file = (): string => join(rig.home, ".claude", ".credentials.json");
/** All that is in the file besides what a renewal changes. */
const REST = { scopes: ["user:inference", "user:profile"], subscriptionType: "max", rateLimitTier: "some" };
const OTHERS = { mcpOAuth: { "a|b": { serverName: "a", accessToken: `of-another-${PLANTED}` } } };
function logIn(expiresAt: number): void {
  const claudeAiOauth = { accessToken: access(0), refreshToken: renewal(0), expiresAt, ...REST };
  fs.writeFileSync(file(), JSON.stringify({ ...OTHERS, claudeAiOauth }), { mode: 0o600 });
}

/** The login is there, as it should be after one renewal, and nobody who works in a run has seen it. */
async function expectRenewedOnce(): Promise<void> {
  expect(tokens.asked).toHaveLength(1);
  expect(JSON.parse(fs.readFileSync(file(), "utf8"))).toEqual({
    ...OTHERS,
    claudeAiOauth: { ...REST, accessToken: access(1), refreshToken: renewal(1), expiresAt: expect.any(Number) },
  });
  expect(JSON.parse(fs.readFileSync(file(), "utf8")).claudeAiOauth.expiresAt).toBeGreaterThan(Date.now() + 28_000_000);
  expect(fs.statSync(file()).mode & 0o777).toBe(0o600);
  // No lock and no half-written file is left.
  expect(fs.readdirSync(rig.home).filter((name) => name.startsWith(".claude"))).toEqual([".claude"]);
  expect(fs.readdirSync(join(rig.home, ".claude")).filter((name) => /lock|credentials/.test(name))).toEqual([
    ".credentials.json",
  ]);
  expect(await rig.placesWith("I am done.")).not.toEqual([]);
  expect(await rig.placesWith(PLANTED)).toEqual([]);
}

/** Looks for the login wherever it can be read, and finds what may be. Its own words must not be found. */
const LOOK = [
  `ls -a ~/.claude "$CLAUDE_CONFIG_DIR" | grep -i credentials`,
  `cat ~/.claude/.credentials.json "$CLAUDE_CONFIG_DIR/.credentials.json"`,
  `grep -rals --devices=skip 'planted-[t]oken' ~ "$CLAUDE_CONFIG_DIR" /proc/[0-9]*/environ /proc/[0-9]*/cmdline`,
];
const script = (): void => {
  fs.writeFileSync(join(rig.home, "beside"), PLANTED);
  const command = `(${LOOK.join("; ")}) > found.txt 2> /dev/null; true`;
  rig.script = [{ say: "I look.", call: [["Bash", { command, description: "look" }]] }, { say: "I am done." }];
};
async function expectNothingFoundBy(run: string): Promise<void> {
  expect((await rig.shepherd("cat", `${run}@`, "found.txt")).stdout).toBe(`${rig.home}/beside\n`);
}
/** With which tokens the provider was asked, each once. */
const sent = (): Set<string | undefined> =>
  new Set(
    rig.provider.asked.filter(({ url }) => url.startsWith("/v1/messages")).map(({ headers }) => headers.authorization),
  );
const both = new Set([0, 1].map((k) => `Bearer ${access(k)}`));

test.each<[string, () => number, Set<string>]>([
  ["has ended", () => Date.now() - 60_000, new Set([`Bearer ${access(1)}`])],
  ["is not taken any more, though it should be good,", () => Date.now() + 3_600_000, both],
])(
  "a token that %s is renewed once for eight processes, and for one that comes later",
  async (_, expires, expected) => {
    script();
    logIn(Date.now() + 3_600_000);
    const first = await rig.shepherd("run", "claude", "look", "--scope", "it");
    expect([first.code, first.stderr, tokens.asked.length]).toEqual([0, "", 0]);
    await expectNothingFoundBy("it");
    const call = (await rig.log("it")).find(({ kind }) => kind === "tool").n;
    const names = Array.from({ length: MANY }, (_, i) => `go-on-${i}`);
    for (const name of names) await rig.shepherd("fork", `it@${call - 1}`, "--scope", name);

    logIn(expires());
    taken = 1;
    rig.provider.asked.length = 0;
    const done = await Promise.all(names.map((name) => rig.shepherd("resume", name)));
    expect(done.map(({ code, stderr }) => [code, stderr])).toEqual(names.map(() => [0, ""]));
    expect(sent()).toEqual(expected);
    for (const name of names) await expectNothingFoundBy(name);
    await expectRenewedOnce();

    const more = await rig.shepherd("run", "claude", "look again", "--scope", "more");
    expect([more.code, more.stderr]).toEqual([0, ""]);
    await expectNothingFoundBy("more");
    await expectRenewedOnce();
    expect((await rig.shepherd("fsck")).code).toBe(0);
  },
);

test("eight runs of one process renew it once", async () => {
  script();
  logIn(Date.now() - 60_000);
  taken = 1;
  const done = await rig.shepherd("run", "-k", String(MANY), "claude", "look", "--scope", "it");
  expect([done.code, done.stderr]).toEqual([0, ""]);
  for (let k = 1; k <= MANY; k++) await expectNothingFoundBy(k > 1 ? `it-${k}` : "it");
  await expectRenewedOnce();
});

test("a login that cannot be renewed ends the run at once, with the provider's words; logged in anew, it goes on", async () => {
  script();
  logIn(Date.now() - 60_000);
  revoked = true;
  const ended = await rig.shepherd("run", "claude", "look", "--scope", "it");
  expect(ended.code).toBe(1);
  expect(ended.stdout).toContain("\nFailed to authenticate. API Error: 401 OAuth token has expired.\n");
  expect(rig.provider.asked.filter(({ url }) => url.startsWith("/v1/messages"))).toHaveLength(1);
  revoked = false;
  logIn(Date.now() + 3_600_000);
  expect((await rig.shepherd("resume", "it")).code).toBe(0);
  await expectNothingFoundBy("it");
  expect(await rig.placesWith(PLANTED)).toEqual([]);
});

test("a login that is a link to a file elsewhere stays hidden from a run while another renews it", async () => {
  logIn(Date.now() + 3_600_000);
  const elsewhere = join(rig.home, "elsewhere.json");
  fs.renameSync(file(), elsewhere);
  fs.symlinkSync(elsewhere, file());
  const gate = join(rig.home, "gate");
  fs.mkdirSync(gate);
  const look = "wc -c < ~/elsewhere.json >> size.txt";
  const command = `${look}; touch ${gate}/begun; until [ -e ${gate}/go ]; do sleep 0.02; done; ${look}`;
  rig.script = [{ say: "I look.", call: [["Bash", { command, description: "look" }]] }];
  const child = rig.start("run", "claude", "look", "--scope", "it", "--write", gate);
  const ended = new Promise((resolve) => child.once("exit", resolve));
  await until(() => fs.existsSync(join(gate, "begun")));
  taken = 1;
  rig.script = [];
  expect((await rig.shepherd("run", "claude", "renew", "--scope", "other")).code).toBe(0);
  expect(tokens.asked).toHaveLength(1);
  expect(fs.readlinkSync(file())).toBe(elsewhere);
  expect(JSON.parse(fs.readFileSync(elsewhere, "utf8")).claudeAiOauth.accessToken).toBe(access(1));
  fs.writeFileSync(join(gate, "go"), "");
  expect(await ended).toBe(0);
  expect((await rig.shepherd("cat", "it@", "size.txt")).stdout).toBe("0\n0\n");
});
