import { expect, test } from "vitest";
import { masked, maskedIn, maskedLines } from "./mask.ts";

test("what looks like a credential is masked, wherever it stands in a value, and all else stays", () => {
  expect(masked("export TOKEN=abcdefgh ls")).toBe("export TOKEN=[masked] ls");
  expect(maskedIn([{ role: "result", at: 1, content: [{ text: 'token=abcdefgh"x' }], n: null }])).toEqual([
    { role: "result", at: 1, content: [{ text: 'token=[masked]"x' }], n: null },
  ]);
});

test("no line of a private key is shown", () => {
  const key = ["-----BEGIN RSA PRIVATE KEY-----", "MIIEow", "AAAA", "-----END RSA PRIVATE KEY-----"];
  const shown = maskedLines(["before", ...key, "behind"]);
  expect(shown.join()).not.toMatch(/MIIEow|AAAA/);
  expect([shown.length, shown[0], shown.at(-1)]).toEqual([6, "before", "behind"]);
});
