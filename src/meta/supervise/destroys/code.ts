/** What a line of Python, JavaScript, Perl, Ruby or PHP destroys, as far as its calls and texts say so. It is not run, and not understood beyond that. */

export type Token = { kind: "name" | "text" | "sign"; text: string };

/** So much of a program is read. */
const MOST = 65_536;

const PIECES = [
  String.raw`(?<space>\s+)`,
  String.raw`(?<long>[rbuf]{0,2}(?:"""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$)))`,
  String.raw`(?<string>(?:\b[rbuf]{1,2})?(?:"(?:[^"\\]|\\[\s\S])*(?:"|$)|'(?:[^'\\]|\\[\s\S])*(?:'|$))|` +
    "`(?:[^`\\\\]|\\\\[\\s\\S])*(?:`|$))",
  String.raw`(?<name>[A-Za-z_$][\w$]*)`,
  String.raw`(?<sign>[\s\S])`,
].join("|");

const commentsOf = (language: string): string =>
  /^(?:python|perl|ruby)/.test(language)
    ? String.raw`#[^\n]*`
    : `${String.raw`\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)`}${language === "php" ? String.raw`|#[^\n]*` : ""}`;

/** Names, texts and signs of a program, without comments. Escapes in texts are read. */
export function tokensOf(language: string, program: string): Token[] {
  const tokens: Token[] = [];
  const pattern = new RegExp(`(?<comment>${commentsOf(language)})|${PIECES}`, "gy");
  for (const { groups } of program.slice(0, MOST).matchAll(pattern)) {
    const { long, string, name, sign } = groups!;
    const quoted = long ?? string;
    if (quoted !== undefined) tokens.push({ kind: "text", text: unquoted(quoted) });
    else if (name !== undefined) tokens.push({ kind: "name", text: name });
    else if (sign !== undefined) tokens.push({ kind: "sign", text: sign });
  }
  return tokens;
}

function unquoted(quoted: string): string {
  const [, mark] = /^[rbuf]{0,2}("""|'''|["'`])/.exec(quoted)!;
  const from = quoted.indexOf(mark!) + mark!.length;
  const inner = quoted.slice(
    from,
    quoted.endsWith(mark!) && quoted.length >= from + mark!.length ? -mark!.length : undefined,
  );
  return inner.replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[\s\S])/g, (_, code: string) => {
    if (code.length > 1) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    return { n: "\n", t: "\t", r: "\r" }[code] ?? code;
  });
}

const DELETES_ALL = new Set([
  "rmtree",
  "remove_tree",
  "rm_rf",
  "rm_r",
  "remove_entry_secure",
  "removeSync",
  "emptyDirSync",
  "emptyDir",
  "rimraf",
  "rimrafSync",
  "deltree",
]);
const DELETES = new Set(["unlink", "unlinkSync", "removedirs"]);
const EMPTIES = new Set(["truncate", "truncateSync", "ftruncate"]);
/** Delete as a member of these. */
const OF: { [object: string]: readonly string[] } = {
  os: ["remove", "unlink", "removedirs"],
  fs: ["rm", "rmSync", "rmdirSync", "rmdir"],
  fsp: ["rm", "rmdir"],
  promises: ["rm", "rmdir"],
  FileUtils: ["rm", "rm_f", "remove", "remove_dir", "remove_entry"],
  File: ["delete"],
  Dir: ["delete", "rmdir"],
  Deno: ["remove", "removeSync"],
};
const SHELLS = new Set([
  "system",
  "popen",
  "execSync",
  "exec",
  "spawn",
  "spawnSync",
  "execFile",
  "execFileSync",
  "run",
  "call",
  "check_call",
  "check_output",
  "getoutput",
  "Popen",
  "shell_exec",
  "passthru",
  "qx",
  "backtick",
  "$",
]);
const STATEMENTS = new Set([
  "execute",
  "executescript",
  "executemany",
  "exec_sql",
  "query",
  "raw",
  "$executeRawUnsafe",
  "$queryRawUnsafe",
]);

export interface Done {
  kind: "path" | "empty" | "shell" | "words" | "sql" | "code" | "unsure";
  /** Texts that the call was given; those of the whole program where its own are no texts. */
  texts: string[];
  recursive: boolean;
}

/** What the calls of a program do. */
export function callsIn(language: string, program: string): Done[] {
  const tokens = tokensOf(language, program);
  const all = tokens.flatMap(({ kind, text }) => (kind === "text" ? [text] : []));
  const pathlike = all.filter((text) => text.length < 300 && !/[\n{}]/.test(text) && text !== "");
  const done: Done[] = [];
  for (const [at, { kind, text }] of tokens.entries()) {
    if (kind === "text" && tokens[at - 1]?.text === "qx") done.push({ kind: "shell", texts: [text], recursive: false });
    if (kind !== "name") continue;
    const object = tokens[at - 1]?.text === "." || tokens[at - 1]?.text === ":" ? tokens[at - 2] : undefined;
    const open = tokens[at + 1]?.text === "(";
    const bare =
      /^(?:perl|ruby)/.test(language) &&
      !open &&
      (["text", "name"].includes(tokens[at + 1]?.kind ?? "") || /^[@<[]/.test(tokens[at + 1]?.text ?? ""));
    if (!open && !bare) continue;
    const args = open ? within(tokens, at + 1) : untilEnd(tokens, at + 1);
    const texts = args.flatMap((each) => (each.kind === "text" ? [each.text] : []));
    const inList =
      args[0]?.text === "[" ||
      (texts.length > 1 && args.some((each, k) => each.text === "," && args[k + 1]?.text === "["));
    const recursive = args.some((each) => each.kind === "name" && each.text === "recursive");
    // `Path("x").unlink()`: what it is about stands before it.
    const before = object?.text === ")" ? textsBefore(tokens, at - 2) : [];
    const named = texts.length > 0 ? texts : before.length > 0 ? before : pathlike;
    const push = (what: Done["kind"], given: string[], whole = false): void => {
      done.push(
        given.length === 0
          ? { kind: "unsure", texts: [], recursive: whole }
          : { kind: what, texts: given, recursive: whole },
      );
    };
    const isMember = object !== undefined;
    if (DELETES_ALL.has(text)) push("path", named, true);
    else if (DELETES.has(text) || (isMember && OF[object.text]?.includes(text))) push("path", named, recursive);
    else if (["rmSync", "rmdirSync"].includes(text)) push("path", named, recursive);
    else if (EMPTIES.has(text)) push("empty", named);
    else if (STATEMENTS.has(text) && texts.length > 0) done.push({ kind: "sql", texts, recursive: false });
    else if ((text === "eval" || (text === "exec" && /^python/.test(language))) && texts.length > 0)
      done.push({ kind: "code", texts, recursive: false });
    else if (SHELLS.has(text) && texts.length > 0)
      done.push({ kind: inList || isSpawn(text, texts) ? "words" : "shell", texts, recursive: false });
  }
  if (/^(?:perl|ruby|php)/.test(language))
    for (const [, command] of program.matchAll(/`([^`]+)`/g))
      done.push({ kind: "shell", texts: [command!], recursive: false });
  return done;
}

/** Calls that take a program and its words apart. */
const isSpawn = (name: string, texts: readonly string[]): boolean =>
  texts.length > 1 && !/\s/.test(texts[0]!) && !["execSync", "popen"].includes(name);

/** What stands between a bracket and the one that closes it. */
function within(tokens: readonly Token[], open: number): Token[] {
  let depth = 0;
  for (let at = open; at < tokens.length; at++) {
    if (tokens[at]!.kind !== "sign") continue;
    if (/[([{]/.test(tokens[at]!.text)) depth++;
    else if (/[)\]}]/.test(tokens[at]!.text) && --depth === 0) return tokens.slice(open + 1, at);
  }
  return tokens.slice(open + 1);
}

function untilEnd(tokens: readonly Token[], from: number): Token[] {
  const end = tokens.findIndex(({ kind, text }, at) => at >= from && kind === "sign" && text === ";");
  return tokens.slice(from, end < 0 ? undefined : end);
}

/** Texts in the brackets that close at a place. */
function textsBefore(tokens: readonly Token[], close: number): string[] {
  let depth = 0;
  for (let at = close; at >= 0; at--) {
    if (tokens[at]!.text === ")") depth++;
    else if (tokens[at]!.text === "(" && --depth === 0)
      return tokens.slice(at, close).flatMap(({ kind, text }) => (kind === "text" ? [text] : []));
  }
  return [];
}
