/** The commands that a document shows: its fenced blocks of `sh` (typed as they are) and `console` (`$ command`, then what it prints). */

export interface Shown {
  /** Of the document, from 1. */
  line: number;
  command: string;
  /** Lines that it prints; null where the document does not say. */
  output: string[] | null;
  /** How it ends: `# exit code 3` behind the command says so. */
  code: number;
}

interface Fence {
  language: string;
  /** Of its first line. */
  line: number;
  lines: string[];
}

/** All fenced blocks of a text, also those in a list. */
export function fences(markdown: string): Fence[] {
  const found: Fence[] = [];
  let open: (Fence & { mark: string; indent: number }) | null = null;
  for (const [at, text] of markdown.split("\n").entries()) {
    const [, indent, mark, language] = /^( *)(`{3,}|~{3,})\s*(\S*)/.exec(text) ?? [];
    if (open) {
      if (mark?.startsWith(open.mark) && language === "") {
        found.push({ language: open.language, line: open.line, lines: open.lines });
        open = null;
      } else open.lines.push(text.slice(Math.min(open.indent, text.search(/\S|$/))));
    } else if (mark !== undefined)
      open = { language: language!, line: at + 2, lines: [], mark, indent: indent!.length };
  }
  if (open) throw new Error(`The block at line ${open.line} is not closed.`);
  return found;
}

/** What a document tells the reader to type, in its order. */
export function shown(markdown: string): Shown[] {
  return fences(markdown).flatMap(({ language, line, lines }) => {
    if (language === "sh") return [{ line, command: lines.join("\n"), output: null, code: 0 }];
    return language === "console" ? typed(line, lines) : [];
  });
}

function typed(first: number, lines: readonly string[]): Shown[] {
  const found: Shown[] = [];
  for (const [at, text] of lines.entries()) {
    const last = found.at(-1);
    if (text.startsWith("$ ")) {
      const command = text.slice(2);
      const code = Number(/#.*\bexit code (\d+)/.exec(command)?.[1] ?? 0);
      found.push({ line: first + at, command, output: [], code });
    } else if (!last) throw new Error(`Line ${first + at} of the document stands before any command.`);
    else if (/^> ?/.test(text) && last.output!.length === 0) last.command += `\n${text.replace(/^> ?/, "")}`;
    else last.output!.push(text);
  }
  return found;
}
