/**
 * Reads a script as POSIX shells and bash do: quotes, escapes, substitutions, here-documents, compound commands. Total: what is broken is read as far
 * as it goes, since a shell performs the lines before an error too.
 */
import type { Assignment, Node, Part, Redirect, Script, Word } from "./syntax.ts";

/** So much of a script is read, in UTF-16 units, and so deep. */
export const MOST_SCRIPT = 65_536;
const MOST_DEPTH = 60;

const BLANK = /[ \t]/;
const META = /[ \t\n;&|<>()]/;
const OPERATOR = /\d*(?:<<<|<<-|<<|<&|<>|<|>>|>\||>&|>)|&>>|&>/y;
const ASSIGNS = /([A-Za-z_]\w*)(?:\[[^\]\n]*\])?\+?=/y;
const NAMED = /[A-Za-z_]\w*|\d|[@*#?$!-]/y;
const NONE: ReadonlySet<string> = new Set();
const RESERVED = new Set(["then", "elif", "else", "fi", "do", "done", "esac", "}"]);

export interface Read {
  script: Script;
  /** Whether all of it was read. */
  whole: boolean;
}

class TooDeep extends Error {}

export function parseScript(text: string): Read {
  const parser = makeParser(text.slice(0, MOST_SCRIPT));
  const script: Node[] = [];
  try {
    // What closes nothing ends no script.
    for (; !parser.atEnd(); parser.skip()) parser.list(script, NONE);
    return { script, whole: text.length <= MOST_SCRIPT };
  } catch (error) {
    if (!(error instanceof TooDeep)) throw error;
    return { script, whole: false };
  }
}

function makeParser(text: string, around = 0) {
  let at = 0;
  let depth = around;
  /** Here-documents whose lines are still to come. */
  const waiting: { redirect: Redirect; end: string; plain: boolean; strip: boolean }[] = [];

  const deeper = <T>(read: () => T): T => {
    if (++depth > MOST_DEPTH) throw new TooDeep();
    const given = read();
    depth--;
    return given;
  };
  const sticky = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };
  const looking = (what: string): boolean => text.startsWith(what, at);
  /** A reserved word at this place, if one of these stands here. */
  const keyword = (words: ReadonlySet<string>): string | null => {
    const end = text.slice(at, at + 10).search(/[\s;&|<>()]|$/);
    const word = text.slice(at, at + end);
    return words.has(word) ? word : null;
  };

  function blanks(): void {
    for (;;) {
      if (at < text.length && BLANK.test(text[at]!)) at++;
      else if (looking("\\\n")) at += 2;
      else if (looking("\\\r\n")) at += 3;
      else return;
    }
  }

  /** What separates commands. */
  function between(): void {
    for (;;) {
      blanks();
      const char = text[at];
      if (char === "#") while (at < text.length && text[at] !== "\n") at++;
      else if (char === "\n") {
        at++;
        for (const each of waiting.splice(0)) document(each);
      } else if (char === "\r" || (char === ";" && !looking(";;")) || char === "&" || char === "|") at++;
      else return;
    }
  }

  /** The lines of a here-document. */
  function document({ redirect, end, plain, strip }: (typeof waiting)[number]): void {
    const lines: string[] = [];
    while (at < text.length) {
      const next = text.indexOf("\n", at);
      const line = text.slice(at, next < 0 ? text.length : next);
      at = next < 0 ? text.length : next + 1;
      const told = strip ? line.replace(/^\t+/, "") : line;
      if (told === end) break;
      lines.push(told);
    }
    const body = lines.length === 0 ? "" : `${lines.join("\n")}\n`;
    const inner = makeParser(body, depth + 1);
    if (depth + 1 > MOST_DEPTH) throw new TooDeep();
    redirect.to = plain ? [{ kind: "text", text: body, quoted: true }] : inner.inDoubleQuotes(null);
  }

  /** Commands up to one of these reserved words, or to a `)` or `;;`. They are added one by one, so that what was read counts. */
  function list(into: Node[], stop: ReadonlySet<string>): void {
    for (;;) {
      between();
      if (at >= text.length || text[at] === ")" || looking(";;") || keyword(stop)) return;
      const before = at;
      const stray = keyword(RESERVED);
      if (stray) at += stray.length;
      const node = stray ? null : pipeline();
      if (node) into.push(node);
      if (at === before) at++;
    }
  }
  const listed = (stop: ReadonlySet<string>): Node[] => {
    const into: Node[] = [];
    list(into, stop);
    return into;
  };

  function pipeline(): Node | null {
    const parts: Node[] = [];
    for (;;) {
      const node = command();
      if (node) parts.push(node);
      blanks();
      if (text[at] !== "|" || text[at + 1] === "|") break;
      at += text[at + 1] === "&" ? 2 : 1;
      // A pipe may be followed by a new line.
      while (at < text.length && /[\s]/.test(text[at]!)) {
        if (text[at] === "\n" && waiting.length > 0) between();
        else at++;
      }
    }
    return parts.length > 1 ? { kind: "pipeline", parts } : (parts[0] ?? null);
  }

  function command(): Node | null {
    blanks();
    while (keyword(new Set(["!", "time", "coproc"]))) {
      at += text.slice(at).search(/\s|$/);
      blanks();
    }
    const is = keyword(new Set(["{", "if", "while", "until", "for", "select", "case", "function", "[["]));
    if (text[at] === "(") {
      if (looking("((")) return arithmetic();
      at++;
      return group(() => listed(NONE), ")", true);
    }
    if (is === null) return simple();
    at += is.length;
    if (is === "{") return group(() => listed(new Set(["}"])), "}", false);
    if (is === "if") return group(() => branches(["then", "elif", "else"], "fi"), "fi", false);
    if (is === "while" || is === "until") return group(() => branches(["do"], "done"), "done", false);
    if (is === "case") return cases();
    if (is === "function") return named();
    if (is === "[[") return condition();
    return loop();
  }

  function branches(middle: readonly string[], end: string): Node[] {
    const all: Node[] = [];
    const stop = new Set([...middle, end]);
    for (;;) {
      list(all, stop);
      const word = keyword(new Set(middle));
      if (!word) return all;
      at += word.length;
    }
  }

  /** A body, the word that ends it, and where its output goes. */
  function group(read: () => Node[], end: string, subshell: boolean): Node {
    const body = deeper(read);
    if (looking(end)) at += end.length;
    return { kind: "group", body, subshell, redirects: redirects() };
  }

  function redirects(): Redirect[] {
    const all: Redirect[] = [];
    for (;;) {
      blanks();
      const one = redirect();
      if (!one) return all;
      all.push(...one);
    }
  }

  function arithmetic(): Node | null {
    const end = text.indexOf("))", at);
    at = end < 0 ? text.length : end + 2;
    return null;
  }

  function condition(): Node | null {
    const words: Word[] = [];
    for (;;) {
      while (at < text.length && META.test(text[at]!)) at++;
      if (at >= text.length) break;
      if (looking("]]")) {
        at += 2;
        break;
      }
      words.push(word());
    }
    return {
      kind: "simple",
      assignments: [],
      words: [[{ kind: "text", text: "[[", quoted: true }], ...words],
      redirects: redirects(),
    };
  }

  function loop(): Node | null {
    blanks();
    if (looking("((")) arithmetic();
    const name = sticky(/[A-Za-z_]\w*/y)?.[0] ?? "";
    at += name.length;
    between();
    let words: Word[] | null = null;
    if (keyword(new Set(["in"]))) {
      at += 2;
      words = [];
      for (blanks(); at < text.length && !/[\n;&|()<>]/.test(text[at]!); blanks()) words.push(word());
    }
    between();
    const end = looking("{") ? "}" : "done";
    if (looking("{")) at++;
    else if (keyword(new Set(["do"]))) at += 2;
    const body = deeper(() => listed(new Set([end])));
    if (looking(end)) at += end.length;
    return { kind: "for", name, words, body, redirects: redirects() };
  }

  function cases(): Node {
    blanks();
    const subject = word();
    between();
    if (keyword(new Set(["in"]))) at += 2;
    return group(
      () => {
        const all: Node[] = [
          {
            kind: "simple",
            assignments: [],
            words: [[{ kind: "text", text: "case", quoted: true }], subject],
            redirects: [],
          },
        ];
        for (;;) {
          between();
          while (looking(";")) at++;
          between();
          if (at >= text.length || keyword(new Set(["esac"]))) return all;
          if (text[at] === "(") at++;
          while (at < text.length && text[at] !== ")") {
            const before = at;
            if (META.test(text[at]!)) at++;
            else word();
            if (at === before) at++;
          }
          at++;
          const before = at;
          list(all, new Set(["esac"]));
          if (at === before) at++;
        }
      },
      "esac",
      false,
    );
  }

  function named(): Node | null {
    blanks();
    const name = sticky(/[^\s;&|<>(){}]+/y)?.[0] ?? "";
    at += name.length;
    blanks();
    const brackets = sticky(/\(\s*\)/y);
    if (brackets) at += brackets[0].length;
    return defined(name);
  }

  function defined(name: string): Node | null {
    between();
    const body = deeper(command);
    return body && { kind: "function", name, body };
  }

  function simple(): Node | null {
    const assignments: Assignment[] = [];
    const words: Word[] = [];
    const where: Redirect[] = [];
    for (;;) {
      blanks();
      const char = text[at];
      if (char === undefined || char === "\n" || char === ";" || char === "|" || char === ")") break;
      const one = redirect();
      if (one) {
        where.push(...one);
        continue;
      }
      if (char === "&") break;
      if (char === "#") {
        while (at < text.length && text[at] !== "\n") at++;
        break;
      }
      if (char === "(") {
        const brackets = words.length === 1 && assignments.length === 0 ? sticky(/\(\s*\)/y) : null;
        const name = brackets && plain(words[0]!);
        if (!name) {
          // No shell takes it; what stands in it is looked at all the same.
          at++;
          const body = deeper(() => listed(NONE));
          if (looking(")")) at++;
          return { kind: "group", body, subshell: true, redirects: [] };
        }
        at += brackets![0].length;
        return defined(name);
      }
      const assigns = words.length === 0 ? sticky(ASSIGNS) : null;
      if (assigns) {
        at += assigns[0].length;
        assignments.push({ name: assigns[1]!, values: values() });
      } else if (looking("<(") || looking(">(") || !META.test(char)) words.push(word());
      else at++;
    }
    if (assignments.length + words.length + where.length === 0) return null;
    return { kind: "simple", assignments, words, redirects: where };
  }

  /** What is assigned: a word, or the words of a list. */
  function values(): Word[] {
    if (text[at] !== "(") return [at >= text.length || META.test(text[at]!) ? [] : word()];
    at++;
    const all: Word[] = [];
    for (;;) {
      while (at < text.length && /[\s;&|<>(]/.test(text[at]!)) at++;
      if (at >= text.length || text[at] === ")") break;
      all.push(word());
    }
    at++;
    return all;
  }

  /** Null where none stands here; none for one that names no file. */
  function redirect(): Redirect[] | null {
    if (looking("<(") || looking(">(")) return null;
    const found = sticky(OPERATOR)?.[0];
    if (found === undefined) return null;
    at += found.length;
    const op = found.replace(/^\d+/, "");
    blanks();
    if (op === "<<" || op === "<<-") {
      const from = at;
      const end = at < text.length && !META.test(text[at]!) ? word() : [];
      const made: Redirect = { op: "<<", to: [] };
      const plainly = /['"\\]/.test(text.slice(from, at));
      waiting.push({ redirect: made, end: textOf(end), plain: plainly, strip: op === "<<-" });
      return [made];
    }
    const to = at < text.length && (looking("<(") || looking(">(") || !META.test(text[at]!)) ? word() : [];
    if ((op === ">&" || op === "<&") && /^(?:\d+|-)$/.test(textOf(to))) return [];
    return [{ op: op === ">&" ? "&>" : op, to }];
  }

  function word(): Word {
    const parts: Part[] = [];
    let text_ = "";
    const flush = (): void => {
      if (text_ !== "") parts.push({ kind: "text", text: text_, quoted: false });
      text_ = "";
    };
    const add = (...more: Part[]): void => {
      flush();
      parts.push(...more);
    };
    while (at < text.length) {
      const char = text[at]!;
      if ((looking("<(") || looking(">(")) && parts.length === 0 && text_ === "") {
        at += 2;
        const script = deeper(() => listed(NONE));
        if (looking(")")) at++;
        add({ kind: "process", script });
      } else if (META.test(char)) break;
      else if (char === "\\") {
        if (looking("\\\n")) at += 2;
        else {
          add({ kind: "text", text: text[at + 1] ?? "", quoted: true });
          at += 2;
        }
      } else if (char === "'") {
        const end = text.indexOf("'", at + 1);
        add({ kind: "text", text: text.slice(at + 1, end < 0 ? text.length : end), quoted: true });
        at = end < 0 ? text.length : end + 1;
      } else if (char === '"') {
        at++;
        add(...inDoubleQuotes('"'));
      } else if (looking("$'")) add({ kind: "text", text: ansi(), quoted: true });
      else if (looking('$"')) at++;
      else if (char === "$" || char === "`") add(...dollar(false));
      else {
        text_ += char;
        at++;
      }
    }
    flush();
    return parts;
  }

  /** Up to a closing quote; to the end where `close` is null. An empty text is a part too: `""` is a word. */
  function inDoubleQuotes(close: '"' | "}" | null): Part[] {
    const parts: Part[] = [];
    let seen = "";
    const flush = (): void => {
      parts.push({ kind: "text", text: seen, quoted: true });
      seen = "";
    };
    while (at < text.length && text[at] !== close) {
      const char = text[at]!;
      if (char === "\\") {
        const next = text[at + 1] ?? "";
        if (next === "\n") seen += "";
        else seen += '$`"\\'.includes(next) && next !== "" ? next : `\\${next}`;
        at += 2;
      } else if (char === "$" || char === "`") {
        flush();
        parts.push(...dollar(true));
      } else {
        seen += char;
        at++;
      }
    }
    at++;
    flush();
    return parts;
  }

  /** `$'…'` */
  function ansi(): string {
    at += 2;
    let seen = "";
    while (at < text.length && text[at] !== "'") {
      if (text[at] !== "\\") {
        seen += text[at++];
        continue;
      }
      const code = sticky(/\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|([0-7]{1,3}))/y);
      if (code) {
        const value =
          code[4] === undefined ? Number.parseInt(code[1] ?? code[2] ?? code[3]!, 16) : Number.parseInt(code[4], 8);
        seen += value <= 0x10ffff ? String.fromCodePoint(value) : "";
        at += code[0].length;
      } else {
        const next = text[at + 1] ?? "";
        seen += { n: "\n", t: "\t", r: "\r", e: "\x1b", a: "\x07", b: "\b", f: "\f", v: "\v" }[next] ?? next;
        at += 2;
      }
    }
    at++;
    return seen;
  }

  function dollar(quoted: boolean): Part[] {
    if (text[at] === "`") {
      at++;
      let inner = "";
      while (at < text.length && text[at] !== "`") {
        if (text[at] === "\\" && "`\\$".includes(text[at + 1] ?? " ")) at++;
        inner += text[at++] ?? "";
      }
      at++;
      return [substitution(inner, quoted)];
    }
    if (looking("$((")) {
      const end = text.indexOf("))", at);
      // `$((` may also begin a subshell in a substitution; what is in it is looked at then.
      if (end > 0 && /^[\w\s+*/%$()<>=!&|^~?:,{}#-]*$/.test(text.slice(at + 3, end))) {
        at = end + 2;
        return [{ kind: "unknown" }];
      }
    }
    if (looking("$(")) {
      at += 2;
      const script = deeper(() => listed(NONE));
      if (looking(")")) at++;
      return [{ kind: "command", script, quoted }];
    }
    if (looking("${")) return [braces(quoted)];
    at++;
    const name = sticky(NAMED)?.[0];
    if (name === undefined) return [{ kind: "text", text: "$", quoted: true }];
    at += name.length;
    return [{ kind: "variable", name, quoted }];
  }

  function substitution(inner: string, quoted: boolean): Part {
    if (depth + 1 > MOST_DEPTH) throw new TooDeep();
    const script: Node[] = [];
    makeParser(inner, depth + 1).list(script, NONE);
    return { kind: "command", script, quoted };
  }

  /** `${…}` */
  function braces(quoted: boolean): Part {
    at += 2;
    const prefix = /[#!]/.test(text[at] ?? "") && /[\w@*]/.test(text[at + 1] ?? "") ? text[at++]! : "";
    const name = sticky(/\w+|[@*#?$!-]/y)?.[0] ?? "";
    at += name.length;
    const index = sticky(/\[[^\]]*\]/y);
    if (index) at += index[0].length;
    const op = prefix || (sticky(/:[-=?+]|[-=?+]|##?|%%?|\/[/#%]?|\^\^?|,,?|:|@/y)?.[0] ?? "");
    if (!prefix) at += op.length;
    const rest = deeper(() => inDoubleQuotes("}"));
    if (op === "") return { kind: "variable", name, quoted };
    return {
      kind: "variable",
      name,
      quoted,
      op,
      word: rest.filter((part) => part.kind !== "text" || part.text !== ""),
    };
  }

  return {
    list,
    inDoubleQuotes,
    atEnd: () => at >= text.length,
    skip: () => {
      at++;
    },
  };
}

/** The text of a word that is nothing but that and unquoted; null for any other. */
const plain = (word: Word): string | null => {
  const [only, ...more] = word;
  return only?.kind === "text" && more.length === 0 ? only.text : null;
};

/** A word without what is substituted. */
const textOf = (word: Word): string => word.map((part) => (part.kind === "text" ? part.text : "")).join("");
