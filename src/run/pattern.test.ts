import { homedir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parsePattern, patternLike } from "./pattern.ts";

const HERE = "/home/you/project";
const fits = (pattern: string, name: string, input: object, allows = true): boolean =>
  parsePattern(pattern).fits({ name, input: input as never }, HERE, allows);
const bash = (pattern: string, command: string, allows = true): boolean => fits(pattern, "Bash", { command }, allows);
const write = (pattern: string, file_path: string): boolean => fits(pattern, "Write", { file_path });

test("a name alone means every call of a tool, in upper or lower case, with * for any part of it", () => {
  expect(fits("read", "Read", { file_path: "a" })).toBe(true);
  expect(fits("Bash", "bash", { command: "rm -rf / ; true" })).toBe(true);
  expect(fits("Bash(*)", "bash", { command: "a && b" })).toBe(true);
  expect(fits("mcp__git__*", "mcp__git__push", {})).toBe(true);
  expect(fits("*", "Anything", {})).toBe(true);
  expect(fits("read", "Readonly", {})).toBe(false);
  expect(fits("r.ad", "read", {})).toBe(false);
});

test("what is allowed of a command ends where another command begins, or a file is written", () => {
  expect(bash("Bash(npm test*)", "npm test")).toBe(true);
  expect(bash("Bash(npm test*)", "npm test -- --grep 'a b'")).toBe(true);
  expect(bash("Bash(npm test*)", "npm testing")).toBe(true);
  expect(bash("Bash(npm test *)", "npm test")).toBe(true);
  expect(bash("Bash(npm test *)", "npm test $FILES")).toBe(true);
  expect(bash("Bash(npm test *)", "npm testing")).toBe(false);
  for (const more of [
    "; rm x",
    " && rm x",
    " | sh",
    "\nrm x",
    " > a.txt",
    " $(rm x)",
    " `rm x`",
    " & rm x",
    " <(rm x)",
  ])
    expect(bash("Bash(npm test*)", `npm test${more}`), more).toBe(false);
  expect(bash("Bash(npm test | tee log)", "npm test | tee log")).toBe(true);
  expect(bash("Bash(ls ?)", "ls x")).toBe(true);
  expect(bash("Bash(ls ?????)", "ls ;rm x")).toBe(false);
  expect(bash("Bash(ls ? x)", "ls > x")).toBe(false);
  expect(bash("Bash(echo $*)", "echo $HOME")).toBe(true);
  expect(bash("Bash(echo $*)", "echo $(rm x)")).toBe(false);
});

test("what is denied of a command is denied in any part of it", () => {
  expect(bash("Bash(rm *)", "cd src && rm -rf x", false)).toBe(true);
  expect(bash("Bash(rm *)", "echo $(rm x)", false)).toBe(true);
  expect(bash("Bash(*push*)", "git push; true", false)).toBe(true);
  expect(bash("Bash(rm *)", "firm x", false)).toBe(false);
});

test("what is denied is denied in each field that a pattern can mean, and what is allowed is what the call is about", () => {
  const both = { command: "view", path: ".env", url: "https://evil.test/x" };
  for (const pattern of ["edit(view)", "edit(.env)", "edit(https://evil.*)", "edit(**/.env)"])
    expect(fits(pattern, "edit", both, false), pattern).toBe(true);
  expect(fits("edit(*.ts)", "edit", both, false)).toBe(false);
  expect(fits("edit(view)", "edit", both)).toBe(true);
  expect(fits("edit(.env)", "edit", both)).toBe(false);
});

test("a path is meant however it is written, also beside the directory and below the home directory", () => {
  for (const pattern of ["Write(src/*)", "Write(./src/*)", "Write(src//*)", `Write(${HERE}/./src/*)`])
    expect(write(pattern, `${HERE}/src/a.ts`), pattern).toBe(true);
  expect(write("Write(../other/**)", "/home/you/other/a/b")).toBe(true);
  expect(write("Write(../other/**)", "other/a")).toBe(false);
  expect(write("Write(~/.ssh/**)", join(homedir(), ".ssh/id"))).toBe(true);
  expect(write("Write(~/.ssh/**)", ".ssh/id")).toBe(false);
});

test("a command may be a list of words", () => {
  expect(fits("shell(rm *)", "shell", { command: ["rm", "-rf", "x"] }, false)).toBe(true);
  expect(fits("shell(rm *)", "shell", { cmd: ["bash", "-c", "true; rm x"] }, false)).toBe(true);
  expect(fits("shell(npm test*)", "shell", { command: ["npm", "test"] })).toBe(true);
  expect(fits("shell(npm test*)", "shell", { command: ["npm", "test", "; rm x"] })).toBe(false);
  expect(fits('shell(*"a",1*)', "shell", { command: ["a", 1] })).toBe(true);
});

test("a question mark lets no other command begin", () => {
  expect(fits("Bash(ls a?)", "Bash", { command: "ls ab" })).toBe(true);
  for (const command of ["ls a;", "ls a|b", "ls a\nb", "ls a>b"])
    expect(fits(`Bash(ls a${"?".repeat(command.length - 4)})`, "Bash", { command }), command).toBe(false);
});

test("paths are those in the directory; * stays in one, ** does not; nobody gets out by ..", () => {
  expect(write("Write(src/**)", "src/a/b.ts")).toBe(true);
  expect(write("Write(src/**)", `${HERE}/src/a.ts`)).toBe(true);
  expect(write("Write(src/*)", "src/a/b.ts")).toBe(false);
  expect(write("Write(**/*.md)", "README.md")).toBe(true);
  expect(write("Write(**/*.md)", "docs/a/b.md")).toBe(true);
  expect(write("Write(./a.txt)", "a.txt")).toBe(true);
  expect(write("Write(src/**)", "src/../secret")).toBe(false);
  expect(write("Write(**)", "anything")).toBe(true);
  expect(write("Write(**/x)", "../x")).toBe(false);
  expect(write("Write(/etc/*)", "/etc/hosts")).toBe(true);
  expect(write("Write(*.ts)", "axts")).toBe(false);
});

test("other calls are told by what they are about, or by their whole input", () => {
  expect(fits("WebFetch(https://docs.*)", "WebFetch", { url: "https://docs.rs/x" })).toBe(true);
  expect(fits('Odd(*"a":1*)', "Odd", { a: 1 })).toBe(true);
  expect(fits("Odd(a)", "Odd", { a: 1 })).toBe(false);
});

test("what is no pattern is said in a sentence", () => {
  for (const wrong of ["", "Bash(", "Bash()", "two words", "Bash(a) b"])
    expect(() => parsePattern(wrong), wrong).toThrow(/is no pattern: write TOOL/);
});

test("the pattern for calls like one fits it, and no more than is told", () => {
  const like = (name: string, input: object): string => patternLike({ name, input: input as never }, HERE);
  expect(like("bash", { command: "npm test -- -x" })).toBe("bash(npm test *)");
  expect(like("bash", { command: "ls -la" })).toBe("bash(ls *)");
  expect(like("bash", { command: "a * && b" })).toBe("bash(a \\* && b)");
  expect(like("Write", { file_path: `${HERE}/src/a.ts` })).toBe("Write(src/*)");
  expect(like("Write", { file_path: "a.ts" })).toBe("Write(a.ts)");
  expect(like("Write", { file_path: "/etc/hosts" })).toBe("Write(/etc/*)");
  expect(like("Task", { prompt: "look" })).toBe("Task");
  for (const command of ["npm test -- -x", "ls -la", "a * && b", "ls"])
    expect(bash(like("Bash", { command }), command), command).toBe(true);
});
