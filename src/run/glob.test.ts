import fc from "fast-check";
import { expect, test } from "vitest";
import { params } from "../../test/support/runs.ts";
import { any, glob, type Stars } from "./glob.ts";

const word = (char: string): boolean => !"/;$".includes(char);
const KINDS: Array<{ stars: Stars; star: string; one: string; deep: [pair: string, many: string] }> = [
  { stars: { star: any, one: any }, star: ".*", one: ".", deep: [".*/", ".*"] },
  {
    stars: { star: (text, at) => word(text[at]!) || (text[at] === "$" && text[at + 1] !== "("), one: any },
    star: "(?:[^/;$]|\\$(?!\\())*",
    one: ".",
    deep: ["(?:[^/;$]|\\$(?!\\())*/", "(?:[^/;$]|\\$(?!\\())*"],
  },
  {
    stars: { star: (text, at) => text[at] !== "/", one: (text, at) => text[at] !== "/", deep: any },
    star: "[^/]*",
    one: "[^/]",
    deep: ["(?:.*/)?", ".*"],
  },
];

/** What a glob means, as a regular expression. */
function meaning(text: string, { star, one, deep }: (typeof KINDS)[number]): RegExp {
  const tail = text.endsWith(" *") ? `(?: ${star})?` : "";
  const source = (tail ? text.slice(0, -2) : text).replace(
    /\\(.)|\*\*\/|\*\*|\*|\?|[.+^${}()|[\]\\/]/gs,
    (found, taken: string | undefined) => {
      if (taken !== undefined) return taken.replace(/[.*+?^${}()|[\]\\/]/, "\\$&");
      return { "**/": deep[0], "**": deep[1], "*": star, "?": one }[found] ?? `\\${found}`;
    },
  );
  return new RegExp(`^${source}${tail}$`, "s");
}

const from = (units: string[], maxLength: number) =>
  fc.array(fc.constantFrom(...units), { maxLength }).map((each) => each.join(""));

test("a glob means what it does as a regular expression", () => {
  const globs = from(["a", "b", "/", "*", "**", "**/", "?", " ", " *", "\\", ".", "$", "(", "\n", "é"], 8);
  const texts = from(["a", "b", "/", "*", "\\", " ", ".", "$", "(", ";", "\n", "é", "😀"], 10);
  fc.assert(
    fc.property(
      globs,
      fc.array(texts, { minLength: 1, maxLength: 8 }),
      fc.constantFrom(...KINDS),
      (text, all, kind) => {
        const fits = glob(text, kind.stars);
        const expression = meaning(text, kind);
        for (const each of [text, "", ...all])
          expect(fits(each), JSON.stringify([text, each])).toBe(expression.test(each));
      },
    ),
    params(20000),
  );
});

test("the time for a text is that of its length, however many stars there are", () => {
  const fits = glob("*a*a*a*a*b", { star: any, one: any });
  const begun = performance.now();
  expect(fits("a".repeat(20000))).toBe(false);
  expect(fits(`${"a".repeat(20000)}b`)).toBe(true);
  expect(performance.now() - begun).toBeLessThan(2000);
});
