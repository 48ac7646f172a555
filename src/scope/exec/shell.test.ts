import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { params } from "../../../test/support/runs.ts";
import { detect } from "./abilities.ts";
import { quote } from "./quote.ts";
import { openSandbox, type Sandbox } from "./sandbox.ts";
import { runShell } from "./shell.ts";
import { decodeShell, encodeShell, fromText, type ShellState } from "./shellstate.ts";

const abilities = await detect();
if (!abilities.samePath) console.log(`Tests of namespaces are skipped: ${abilities.why}`);
const modes = [
  ...(abilities.samePath && abilities.helper ? ["namespaces by the helper"] : []),
  ...(abilities.samePath ? ["namespaces"] : []),
  "no namespaces",
];

describe.each(modes)("a shell whose state is carried, with %s", (mode) => {
  let base: string;
  let home: string;
  let sandbox: Sandbox;
  let state: ShellState | null;

  beforeAll(async () => {
    base = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "shepherd-shell-")));
    home = path.join(base, "proj");
    for (const name of ["proj", "ws", "tmp"]) fs.mkdirSync(path.join(base, name));
    if (mode === "no namespaces") process.env.SHEPHERD_NO_NAMESPACES = "1";
    if (!mode.includes("helper")) process.env.SHEPHERD_NO_HELPER = "1";
    sandbox = await openSandbox({
      binds: [{ from: path.join(base, "ws"), to: home, mode: "rw" }],
      tmp: path.join(base, "tmp"),
      env: {
        PATH: process.env.PATH!,
        HOME: "/nonexistent",
        LANG: "C.UTF-8",
        "BASH_FUNC_hello%%": '() { echo "hello $1"; }',
        "odd-name": "x",
      },
      network: "host",
    });
  });
  afterAll(async () => {
    delete process.env.SHEPHERD_NO_NAMESPACES;
    await sandbox.dispose();
    fs.rmSync(base, { recursive: true, force: true });
  });
  beforeEach(() => {
    state = null;
  });
  afterEach(() => {
    for (const name of fs.readdirSync(path.join(base, "ws")))
      fs.rmSync(path.join(base, "ws", name), { recursive: true, force: true });
  });

  /** Runs a command in the state so far, which goes through its bytes. */
  const sh = async (command: string | Uint8Array, options: Parameters<typeof runShell>[3] = {}) => {
    const done = await runShell(sandbox, command, state && decodeShell(encodeShell(state)), options);
    state = done.state;
    return { ...done, ...done.result, text: done.result.output.toString() };
  };
  const real = (text: string) => text.replaceAll(path.join(base, "ws"), home);

  test("directory, exported variables, functions, options, aliases and umask are kept", async () => {
    await sh(
      "mkdir -p a/b; cd a/b; export X=1; f() { echo \"f $1 $X\"; }; shopt -s expand_aliases; alias g='f from-g'; set -f; umask 027",
    );
    expect(real((await sh("pwd; f x; echo *; umask")).text)).toBe(`${home}/a/b\nf x 1\n*\n0027\n`);
    expect(real((await sh("g; cd - ; cd ..")).text)).toBe(`f from-g 1\n${home}\n`);
    expect(state).toMatchObject({
      cwd: path.dirname(home),
      oldcwd: home,
      options: "set -o noglob\nshopt -s expand_aliases",
      umask: "0027",
    });
    expect((await sh("hello you")).text).toBe("hello you\n");
  });

  test("variables that are not exported, and those of the shell itself, are not kept", async () => {
    await sh("x=5; export RANDOM SECONDS=7 SHLVL BASH_ARGV0=z OPTS=1; y() { :; }");
    expect((await sh('echo "[$x]"; export -p | grep -c "SECONDS\\|RANDOM"')).text).toBe("[]\n0\n");
    expect(state!.env.map(([name]) => name).sort()).toEqual(
      [
        "HOME",
        "LANG",
        "OPTS",
        "PATH",
        ...(mode === "no namespaces"
          ? ["TMPDIR"]
          : Object.keys(sandbox.env).filter((n) => /cache|CACHE|PACKAGES|GRADLE|devdir/.test(n))),
      ].sort(),
    );
  });

  test("the same command in the same state gives the same bytes", async () => {
    const command =
      "export A=$'\\xff\\n' B; f() { cat <<X; }\n$1\nX\ndeclare -rx R=1; cd /; set -u; alias x=y; echo $RANDOM $SECONDS $$ > /dev/null";
    const first = encodeShell((await sh(command)).state);
    state = null;
    expect(encodeShell((await sh(command)).state)).toEqual(first);
    expect(encodeShell((await sh(":")).state)).toEqual(first);
    expect(Buffer.from(first).toString()).toMatch(/^\{"aliases":.*"v":1\}$/s);
  });

  test("a command is run as it would be typed", async () => {
    const cases: Array<[string, string | RegExp, number]> = [
      ["", "", 0],
      ["# only a comment", "", 0],
      ["echo a # b", "a\n", 0],
      ["echo a \\", "a\n", 0],
      ["echo a \\\\", "a \\\n", 0],
      ["echo 'open", /unexpected EOF/, 2],
      ["echo $(", /unexpected EOF/, 2],
      ['echo "$(echo $(', /unexpected EOF/, 2],
      ["cat <(if", /unexpected EOF/, 2],
      ["true &&", /syntax error/, 2],
      ["echo one\necho two; false", "one\ntwo\n", 1],
      ["cat <<EOF\n$((1+1)) `echo x`\nEOF", "2 x\n", 0],
      ["cat <<EOF\nno end", /no end\n$/, 0],
      ["if true; then", /syntax error/, 2],
      ["echo before\nfoo(", /^before\n.*syntax error/s, 2],
      ["nosuchcommand", "bash: line 1: nosuchcommand: command not found\n", 127],
      ["exit 3; echo no", "", 3],
      ["set -e; false; echo no", "", 1],
      ["set -e; false || true; echo yes", "yes\n", 0],
      ["trap 'echo E' ERR; false; true", "E\n", 0],
      ["trap 'echo bye' EXIT; echo hi", "hi\nbye\n", 0],
      ['echo "$# $0 $1"', "0 bash \n", 0],
      ["set -- a b; echo $2", "b\n", 0],
      ["(exit 5)", "", 5],
      ["kill -TERM $$; sleep 1000", "", -1],
      ["shopt -s extglob\ncase ab in @(ab|c)) echo ext;; esac", "ext\n", 0],
      ["alias foo='echo aliased'; shopt -s expand_aliases\nfoo", "aliased\n", 0],
      ["cat; echo done", "done\n", 0],
      ["echo '\u00fc\u{1f600}' \"$'x'\"", "\u00fc\u{1f600} $'x'\n", 0],
      ["return 3 2>/dev/null; echo on", "on\n", 0],
      ["exec 3>&1; echo three >&3", "three\n", 0],
      ["set -x; echo x", /\+ echo x\nx\n$/, 0],
      ["set -v; echo x", "x\n", 0],
      [`unset PATH; echo \${PATH-none}`, "none\n", 0],
    ];
    for (const [command, output, code] of cases) {
      state = null;
      const done = await sh(command);
      expect(done.code ?? -1, command).toBe(code);
      if (typeof output === "string") expect(done.text, command).toBe(output);
      else expect(done.text, command).toMatch(output);
    }
    expect((await sh(Buffer.from("printf '\xff\\n' | od -An -tx1", "latin1"))).text).toBe(" ff 0a\n");
    expect((await sh("cat", { stdin: "typed" })).text).toBe("typed");
    await expect(sh("a\0b")).rejects.toThrow("NUL");
  });

  test("the state is kept also where the command ends the shell", async () => {
    await sh("cd /; export A=1; exit 3");
    await sh("set -e; export B=2; false; export C=3");
    expect((await sh('echo "$PWD $A $B [$C]"; set +e')).text).toBe("/ 1 2 []\n");
    expect((await sh("export D=4; trap 'echo bye' EXIT")).stateLost).toBeUndefined();
    expect((await sh("export E=5; if")).stateLost).toBeUndefined();
    expect((await sh("set -u; export F=6; echo $undefined; export G=7")).text).toContain("unbound variable");
    expect((await sh(`echo "$D $F \${G-none}"; set +u`)).text).toBe("4 6 none\n");
  });

  test("where it cannot be known, the old state is kept and the result says so", async () => {
    await sh("export A=old");
    for (const [command, why] of [
      ["export A=new; exec true", "replaced"],
      ["export A=new; trap 'true' EXIT; exit", "replaced"],
      ["export A=new; kill -KILL $$", "SIGKILL"],
      [
        `export A=$(head -c 70000 /dev/zero | tr '\\0' x)$(head -c 100000 /dev/zero | tr '\\0' x); for i in {1..9}; do export A$i=$A; done`,
        "larger than 1 MiB",
      ],
      ["export A=new; head -c 2000000 /dev/zero >&100", "larger than 1 MiB"],
    ] as const) {
      const done = await sh(command);
      expect(done.stateLost, command).toContain(why);
      expect(state!.env.find(([name]) => name === "A")).toEqual(["A", "old"]);
    }
    const limited = await sh("export A=new; trap '' TERM; while :; do sleep 0.05; done", {
      timeoutMs: 100,
      graceMs: 50,
    });
    expect(limited).toMatchObject({ timedOut: true, stateLost: expect.stringContaining("time limit") });
  });

  test("a forged report is no state", async () => {
    await sh("export A=old");
    const forgeries = [
      // The mark is known to the shell itself; what stands between the marks must still be a state.
      `n=$(trap -p EXIT); n=\${n#*D}; n=\${n:0:32}; trap - EXIT; printf 'D%s\\0junk\\0E%s\\0' $n $n >&100; kill -KILL $$`,
      `n=$(trap -p EXIT); n=\${n#*D}; n=\${n:0:32}; trap - EXIT; printf 'D%s\\0' $n >&100; printf 'x\\0%.0s' {1..20} >&100; printf 'E%s\\0' $n >&100; kill -KILL $$`,
      `n=$(trap -p EXIT); n=\${n#*D}; n=\${n:0:32}; trap - EXIT; printf 'D%s\\0set -o x; id\\0\\0000022\\n\\0/\\n\\0\\0\\0\\0\\0E%s\\0' $n $n >&100; kill -KILL $$`,
      "(printf '\\0\\0R\\0D' >&100; head -c 1000 /dev/urandom >&100); kill -KILL $$",
    ];
    for (const command of forgeries) {
      const done = await sh(command);
      expect(done.stateLost, command).toBeDefined();
      expect(state!.env).toContainEqual(["A", "old"]);
    }
    const noise = await sh("printf 'noise\\0' >&100; export A=new");
    expect(noise.stateLost).toBeUndefined();
    expect(state!.env).toContainEqual(["A", "new"]);
  });

  test("a directory that is gone is left for the nearest that is there, and the result says so", async () => {
    await sh("mkdir -p d/e/f; cd d/e/f; rm -r ../../e; pwd");
    const done = await sh("pwd");
    expect(real(done.text)).toBe(`${home}/d\n`);
    expect(done.notices).toEqual([expect.stringContaining("is gone")]);
    await sh("cd ..; rmdir d; cd /tmp; mkdir x; cd x; rmdir ../x");
    expect(real((await sh("pwd")).text)).toBe(`${home}\n`);
    expect((await sh("pwd")).notices).toEqual([]);
  });

  test("odd functions and read-only things come back", async () => {
    const define = `outer() { cat <<A; inner() { cat <<-'B'; cat <<< "here $1"; }; inner x
first \${1:-default}
A
	quoted $x
	B
}
nested() { echo "$(cat <<X
$(cat <<Y
deep
Y
)
X
)"; }
sub() ( cd /; for ((i=0;i<2;i++)); do echo $i; done )
with-dash() { [[ $1 =~ ^a(b|c)$ ]] && echo "\${BASH_REMATCH[1]}"; } 2>&1
function time { echo mine; }
pipes() { echo x |& cat; { echo y; } > >(cat); wait; ! false; case $1 in (a|b) echo ab;;& *) echo any;; esac; }
export -f nested; readonly -f sub; declare -rx R=1; declare -ix I=2+3; declare -ax L=(a "b c" $'\\n'); declare -lx LOW=ABC`;
    await sh(define);
    expect(state!.functions.map(([name, , attributes]) => `${fromText(name)}:${attributes ?? ""}`)).toEqual([
      "hello:x",
      "nested:x",
      "outer:",
      "pipes:",
      "sub:r",
      "time:",
      "with-dash:",
    ]);
    const bytes = encodeShell(state!);
    expect(encodeShell((await sh(":")).state)).toEqual(bytes);
    const use = `outer 1; nested; bash -c nested; sub; with-dash ac; \\time; pipes a; I=I+1; echo $I \${L[1]} $LOW; R=2`;
    expect((await sh(use)).text).toBe(
      "first 1\nquoted $x\nhere x\ndeep\ndeep\n0\n1\nc\nmine\nx\ny\nab\nany\n6 b c abc\nbash: line 1: R: readonly variable\n",
    );
    expect((await sh("sub() { :; }")).text).toContain("readonly function");
  });

  test("a state that was not written by this part is refused", () => {
    const good = JSON.parse(
      Buffer.from(
        encodeShell({ v: 1, cwd: "/", oldcwd: null, env: [], functions: [], options: "", aliases: "", umask: "0022" }),
      ).toString(),
    );
    expect(decodeShell(Buffer.from(JSON.stringify(good)))).toEqual(good);
    for (const wrong of [
      null,
      { ...good, v: 2 },
      { ...good, cwd: 1 },
      { ...good, env: [["A;id", "x"]] },
      { ...good, env: [["A", "(`id`)", "a"]] },
      { ...good, env: [["A", "x", "r; id"]] },
      { ...good, functions: [["f"]] },
      { ...good, options: "set -f; id" },
      { ...good, umask: "0; id" },
    ])
      expect(() => decodeShell(Buffer.from(JSON.stringify(wrong))), JSON.stringify(wrong)).toThrow("no shell state");
    expect(() => decodeShell(Buffer.from([0xff]))).toThrow("no shell state");
  });

  /** What a shell can be asked about itself. */
  const SNAPSHOT = `printf '%s\\0' "$PWD" "\${OLDPWD-none}" "$(umask)" "$(declare -px | grep -v '^declare -x SHLVL=\\|^declare -x _=')" "$(declare -F)" "$(declare -f)" "$(alias -p)" "$(set +o)" "$(shopt -p)"`;

  const name = fc.constantFrom("A", "B", "_c", "LONG_name1");
  const value = fc.oneof(
    fc.uint8Array({ min: 1, max: 255, maxLength: 12 }),
    fc
      .constantFrom("", " ", "a b", "'", '"', "$x `y` \\", "!!", "a\nb\n", "\u00fc", "-n", "*")
      .map((text) => Buffer.from(text)),
  );
  const folder = fc.constantFrom("plain", "with space", "new\nline", "-dash", "\u00fc", "q'\"$x", "back\\slash");
  const fn = fc.constantFrom("f", "g-h", "i.j", "_k");
  const body = fc.constantFrom(
    "{ echo hi; }",
    "( exit 3 )",
    "{ cat <<X\n$1 `echo x`\nX\n}",
    "{ cat <<'X' | tr a b && cat <<Y\n$a 'b\nX\ny\nY\n}",
    '{ echo "$(cat <<X\n$(cat <<Y\ninner\nY\n)\nX\n)"; }',
    "{ case $1 in a|b) echo 1;; *) [[ $1 == @(x|y) ]];; esac; }",
    "{ for ((i=0; i<3; i++)); do :; done; while read -r l; do :; done < /dev/null; }",
    `{ inner() { echo $'a\\nb' "\${x:-$(echo y)}"; }; inner; } > /dev/null 2>&1`,
    "{ if ! true; then :; elif (( 1 < 2 )); then select z in a b; do break; done; else until true; do :; done; fi; }",
    "{ time echo x | cat; coproc cat; diff <(echo) <(echo) & wait; }",
    `{ a=(1 "2 3"); a+=([5]=x); echo "\${a[@]/%x/y}" <<< 'here'; }`,
  );
  const setOption = fc.constantFrom(
    "noglob",
    "noclobber",
    "pipefail",
    "nounset",
    "errtrace",
    "functrace",
    "allexport",
    "physical",
    "posix",
    "vi",
    "emacs",
    "hashall",
    "braceexpand",
    "ignoreeof",
    "notify",
    "interactive-comments",
  );
  const shopt = fc.constantFrom(
    "extglob",
    "nullglob",
    "globstar",
    "dotglob",
    "expand_aliases",
    "nocaseglob",
    "lastpipe",
    "xpg_echo",
    "sourcepath",
    "cmdhist",
    "inherit_errexit",
    "promptvars",
  );
  const change = fc.oneof(
    { weight: 3, arbitrary: fc.tuple(name, value).map(([n, v]) => `export ${n}=${quote(v)}`) },
    name.map((n) => `export ${n}`),
    name.map((n) => `unset ${n}`),
    fc.tuple(name, fc.constantFrom("r", "i", "l", "u", "a")).map(([n, letter]) => `declare -${letter}x ${n}=12`),
    { weight: 2, arbitrary: folder.map((f) => `mkdir -p -- ${quote(f)} && cd -- ${quote(f)}`) },
    fc.constantFrom("cd ..", "cd - > /dev/null", "cd", "cd /", "pushd . > /dev/null"),
    { weight: 3, arbitrary: fc.tuple(fn, body).map(([f, b]) => `shopt -s extglob\n${f}() ${b}\nshopt -u extglob`) },
    fn.map((f) => `unset -f ${f}`),
    fn.map((f) => `export -f ${f}`),
    fn.map((f) => `readonly -f ${f}`),
    { weight: 2, arbitrary: fc.tuple(fc.constantFrom("-o", "+o"), setOption).map((o) => `set ${o.join(" ")}`) },
    { weight: 2, arbitrary: fc.tuple(fc.constantFrom("-s", "-u"), shopt).map((o) => `shopt ${o.join(" ")}`) },
    fc
      .tuple(fc.constantFrom("al", "ll"), value)
      .filter(([, v]) => isText(v))
      .map(([n, v]) => `alias ${n}=${quote(v)}`),
    fc.constantFrom("unalias -a", "umask 077", "umask u=rwx,g=,o=r", "false", ":"),
  );

  test("commands one by one, with the state as bytes between them, leave what one long shell has at their end", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 10 }), async (changes) => {
        // A function's name that POSIX does not know ends a shell in that mode if it reads a script, as the long one does.
        fc.pre(!changes.includes("set -o posix") || !changes.some((each) => /^\S*[^\w\s]\S*\(\)/m.test(each)));
        state = null;
        for (const command of changes) expect((await sh(command)).stateLost, command).toBeUndefined();
        const last = encodeShell(state!);
        const parts = (await sh(`${SNAPSHOT}`)).result.output;
        expect(Buffer.from(encodeShell(state!)).toString()).toBe(Buffer.from(last).toString());
        const long = await sandbox.exec({
          argv: ["bash", "--norc", "--noprofile"],
          env: { "odd-name": null },
          stdin: `exec 100>&1 >/dev/null 2>&1\n${changes.join("\n")}\nexec >&100\n${SNAPSHOT}\n`,
        });
        const lines = (output: Buffer) =>
          output
            .toString("latin1")
            .replace(/^declare -x SHEPHERD_SANDBOX=.*\n/m, "")
            .split("\0");
        expect(lines(parts)).toEqual(lines(long.output));
      }),
      params(400, 10),
    );
  }, 600_000);
});

const isText = (bytes: Uint8Array) => Buffer.from(bytes).every((byte) => byte >= 0x20 && byte < 0x7f);
