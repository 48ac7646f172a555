import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { expect, test } from "vitest";
import { params } from "../../../test/support/runs.ts";
import { readDeclared, readList, readOptions } from "./bashtext.ts";
import { quote } from "./quote.ts";

const bytes = fc.uint8Array({ min: 1, max: 255, maxLength: 40 }).map((b) => Buffer.from(b));
const bash = (script: string, env = {}) =>
  execFileSync("bash", ["--norc", "--noprofile"], {
    input: script,
    env: { PATH: process.env.PATH, ...env },
    maxBuffer: 64 << 20,
  });

test("bash reads a quoted word back as the same bytes, in any locale", () => {
  fc.assert(
    fc.property(fc.array(bytes, { minLength: 30, maxLength: 60 }), fc.constantFrom("C", "C.UTF-8"), (words, locale) => {
      const script = words.map((word) => `printf '%s\\0' ${quote(word)}\n`).join("");
      expect(script).toMatch(/^[\x0a\x20-\x7e]*$/);
      expect(bash(script, { LC_ALL: locale })).toEqual(Buffer.concat(words.flatMap((w) => [w, Buffer.from([0])])));
    }),
    params(400),
  );
});

test("a NUL byte cannot be quoted", () => {
  expect(() => quote("a\0b")).toThrow("NUL");
});

test("what bash prints about exported variables is read as the bytes they hold", () => {
  fc.assert(
    fc.property(
      fc.array(bytes, { minLength: 20, maxLength: 40 }),
      fc.constantFrom("C", "C.UTF-8"),
      (values, locale) => {
        const script = `${values.map((value, i) => `declare -x V${i}=${quote(value)}\n`).join("")}declare -px`;
        const found = readDeclared(bash(script, { LC_ALL: locale }).toString("latin1"));
        for (const [i, value] of values.entries())
          expect(found.find((row) => row.name === `V${i}`)).toEqual({
            name: `V${i}`,
            attributes: "x",
            value: value.toString("latin1"),
          });
      },
    ),
    params(400),
  );
});

test("attributes, lists and variables without a value are told apart", () => {
  const script = `declare -rx R=1; declare -ix I=2+3; export U; declare -ax L=([0]="x ) y" [7]=$'q\\n'); declare -Ax M=(["k ]"]=v); declare -px`;
  const rows = readDeclared(bash(script).toString("latin1")).filter((row) => /^[RIULM]$/.test(row.name));
  expect(rows).toEqual([
    { name: "I", attributes: "ix", value: "5" },
    { name: "L", attributes: "ax", value: `([0]="x ) y" [7]=$'q\\n')` },
    { name: "M", attributes: "Ax", value: `(["k ]"]="v" )` },
    { name: "R", attributes: "rx", value: "1" },
    { name: "U", attributes: "x", value: null },
  ]);
});

test("anything that bash would not print is refused", () => {
  for (const text of [
    "export A=1\n",
    'declare -x A="1"',
    'declare -x A="1\n',
    "declare -x A=$'\\q'\n",
    'declare -x A="1"; rm -rf x\n',
    "declare -x A=1\n",
    "declare -x 1A\n",
    'declare -ax A=([0]="1"); x\n',
    "declare -ax A=($(id))\n",
  ])
    expect(() => readDeclared(text), text).toThrow("not as bash prints it");
  expect(() => readList("([0]=`id`)", 0)).toThrow("not as bash prints it");
});

test("only options that differ from those of a new shell are kept", () => {
  expect(readOptions(bash("set +o").toString(), bash("shopt -p").toString())).toBe("");
  const script = "set -uf +B; shopt -s extglob; shopt -u sourcepath";
  expect(readOptions(bash(`${script}; set +o`).toString(), bash(`${script}; shopt -p`).toString()).split("\n")).toEqual(
    ["set +o braceexpand", "set -o noglob", "set -o nounset", "shopt -s extglob", "shopt -u sourcepath"],
  );
  expect(() => readOptions("set -o x; id", "")).toThrow("sets no option");
});
