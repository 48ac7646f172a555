/** Each example does what it says, as it stands in the repository. The one that needs a package of somebody else's is run by `test/agents/langgraph.test.ts`. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { EXAMPLES, PROGRAMS, placeExamples, runExample } from "../support/examples.ts";
import { removeAll } from "../support/remove.ts";

let directory: string;
beforeAll(async () => {
  directory = fs.mkdtempSync(join(tmpdir(), "shepherd-examples-"));
  await placeExamples(directory);
}, 300_000);
afterAll(() => removeAll(directory));

/** What each of them prints. */
const PRINTS: { [name: string]: string } = {
  "guard.mjs": `denied bash rm -rf build src
done bash rm build/old.js
It is empty.
src/app.js is still there
`,
  "retry.mjs": `try 1: TypeError: Reduce of empty array with no initial value
try 2: green
[ { path: 'sum.mjs', kind: 'modified' } ]
`,
  "best.mjs": `[ 22, 18, Infinity ]
sort -u words.txt
`,
  "follow.mjs": `leader: The plan is in plan.md.
follower: I am lost.
follower: Written as planned.
added plan.md
added report.md
# two lines
`,
  "supervisors.mjs": `the second: run
the second: model
the second: tool observe
the second: model
the second: tool observe
[
  'Done.',
  false,
  'The input of watch does not fit: run: lacks the right to revert.'
]
Cancelled: It only looks.
`,
};

test.each(Object.entries(PRINTS))("%s", async (name, printed) => {
  expect(await runExample(directory, name)).toBe(printed);
  // What it worked on is gone with it.
  expect(fs.existsSync(join(directory, "store"))).toBe(false);
});

test("each one says what it shows and how it is run, and stands in the table", () => {
  expect(PROGRAMS).toEqual([...Object.keys(PRINTS), "langgraph.mjs"].sort());
  const table = fs.readFileSync(join(EXAMPLES, "README.md"), "utf8");
  for (const name of PROGRAMS) {
    const [head] = /^(?:\/\/ .*\n)+/.exec(fs.readFileSync(join(EXAMPLES, name), "utf8")) ?? [""];
    expect(head.trim().split("\n").length, name).toBeLessThanOrEqual(4);
    expect(head, name).toContain(`node examples/${name}`);
    expect(table).toContain(`| [${name}](${name}) |`);
  }
});
