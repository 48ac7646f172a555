/** Supervisors in the model of what goes wrong, and what docs/supervisor.md says of the rules. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { PARAMETERS } from "../src/meta/supervise/rules/index.ts";
import { built } from "./support/built.ts";

const place = mkdtempSync(join(tmpdir(), "shepherd-test-"));
afterAll(() => rmSync(place, { recursive: true, force: true }));

interface Arm {
  passed: number;
  acts: number;
  looks: number;
}
interface Beside {
  gains: number;
  losses: number;
  pValue: number;
  difference: [number, number, number];
}
interface Told {
  seed: number;
  pairs: number;
  arms: { none: Arm; random: Arm; rules: Arm };
  compared: { rules: Beside; random: Beside; "rules to random": Beside };
  clean: {
    [share: string]: { workers: number; touched: number; acts: number; looks: number; passed: number; pairs: number };
  };
  sweep: ({ p: number; q: number; passed: number } & Beside)[];
  real: { pairs: number; same: number };
  exact: number;
}

async function bench(...args: string[]): Promise<Told> {
  const done = spawnSync(process.execPath, [resolve("bench/supervisor.mjs"), "--quick", "--json", ...args], {
    encoding: "utf8",
    env: { ...process.env, SHEPHERD_BUILT: dirname(dirname(await built())), SHEPHERD_BENCH_DIR: place },
  });
  expect(done.stderr).toBe("");
  expect(readdirSync(place)).toEqual([]);
  return JSON.parse(done.stdout) as Told;
}

test("rules get more pairs through than nobody and than chance, and the figures hang together", async () => {
  const told = await bench("--pairs", "30", "--real");
  const { arms, compared, clean, sweep, real } = told;
  expect(arms.none.acts).toBe(0);
  expect(compared.rules.gains - compared.rules.losses).toBe(arms.rules.passed - arms.none.passed);
  expect(compared.rules.pValue).toBeLessThan(0.05);
  expect(compared["rules to random"].pValue).toBeLessThan(0.05);
  expect(compared["rules to random"].gains).toBeGreaterThan(compared["rules to random"].losses);
  // Chance acts about as often; that it helps cannot be shown.
  const rateOf = ({ acts, looks }: Arm): number => acts / looks;
  expect(rateOf(arms.random) / rateOf(arms.rules)).toBeGreaterThan(0.7);
  expect(rateOf(arms.random) / rateOf(arms.rules)).toBeLessThan(1.4);
  expect(compared.random.pValue).toBeGreaterThan(0.05);
  for (const { difference } of Object.values(compared)) expect(difference[1]).toBeLessThanOrEqual(difference[2]);
  // All that is done to workers at whom nothing is wrong is wrong, and it grows with what looks bad.
  const shares = Object.values(clean);
  expect(shares.length).toBe(3);
  expect(shares.map(({ touched }) => touched)).toEqual(shares.map(({ touched }) => touched).sort((a, b) => a - b));
  expect(clean["0"]!.touched / clean["0"]!.workers).toBeLessThan(0.1);
  // Rules that are not made worse are the rules; those that overlook everything are nobody.
  const of = (p: number, q: number): number => sweep.find((each) => each.p === p && each.q === q)!.passed;
  expect(of(0, 0)).toBe(arms.rules.passed);
  expect(of(1, 0)).toBeLessThanOrEqual(arms.none.passed + 1);
  expect(of(0, 0.1)).toBeLessThanOrEqual(of(0, 0));
  expect(real.same).toBe(real.pairs);
  expect(told.exact).toBe(told.pairs);
});

test("the same seed gives the same figures, another one others", async () => {
  const once = await bench("--pairs", "5");
  expect(await bench("--pairs", "5")).toEqual(once);
  expect((await bench("--pairs", "5", "--seed", "7")).arms).not.toEqual(once.arms);
});

test("docs/supervisor.md tells the parameters of the rules as they are", () => {
  const text = readFileSync("docs/supervisor.md", "utf8");
  const rows = [...text.matchAll(/^\| `(\w+)` \| `(\w+)` \| (\S+) \|/gm)].map(
    ([, rule, name, value]) => `${rule} ${name} ${value}`,
  );
  const told = Object.entries(PARAMETERS).flatMap(([rule, parameters]) =>
    Object.entries(parameters)
      .filter(([name, value]) => typeof value === "number" || name === "from")
      .map(([name, value]) => `${rule} ${name} ${value}`),
  );
  expect(rows.sort()).toEqual(told.sort());
});
