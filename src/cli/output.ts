/** What the user sees: colours on a terminal only, progress that goes away, plain lines through a pipe, objects with --json. */
import { styleText } from "node:util";

export type Style = Parameters<typeof styleText>[0];

export interface Output {
  readonly json: boolean;
  readonly terminal: boolean;
  /** Whether standard input and output of this process are those of who asks: only then anything is read from them, or asked there. */
  readonly attached: boolean;
  /** Columns of the terminal; 80 through a pipe. */
  readonly width: number;
  style(style: Style, text: string): string;
  /** A line on standard output; left out with --json. */
  line(text?: string): void;
  /** A sentence on standard output; left out with --json. On a terminal it is folded between words, further lines `hang` columns to the right. */
  say(text: string, hang?: number): void;
  /** An object on a line of standard output; only with --json. */
  object(value: object): void;
  /** Bytes as they are; left out with --json. Resolves when there is room for more. Where it is null nobody takes any. */
  readonly bytes: ((part: Uint8Array) => Promise<void>) | null;
  /** A sentence on standard error, folded on a terminal. */
  warn(text: string): void;
  /** Writes out what was told. */
  flush(): void;
  /** Shows how far long work is, from 300 ms on; on a terminal only, in one line that `done` removes. */
  progress(): Progress;
}

export interface Progress {
  at(text: string): void;
  done(): void;
}

export interface Streams {
  stdout: NodeJS.WriteStream;
  stderr: NodeJS.WriteStream;
}

export function makeOutput(json: boolean, { stdout, stderr }: Streams = process): Output {
  const terminal = stdout.isTTY === true;
  const coloured = terminal && !process.env.NO_COLOR && process.env.TERM !== "dumb";
  // Many lines are few writes; each is out by the end of the turn of the event loop in which it was told.
  let held: string[] = [];
  let size = 0;
  const flush = (): void => {
    if (held.length > 0) stdout.write(held.join(""));
    held = [];
    size = 0;
  };
  const write = (line: string): void => {
    if (held.length === 0) setImmediate(flush);
    held.push(line, "\n");
    size += line.length;
    if (size > 1 << 16) flush();
  };
  return {
    json,
    terminal,
    attached: true,
    width: columns(stdout),
    style: (style, text) => (coloured ? styleText(style, text, { validateStream: false }) : text),
    line: (text = "") => {
      if (!json) write(text);
    },
    say: (text, hang) => {
      if (!json) write(terminal ? fold(text, columns(stdout), hang) : text);
    },
    object: (value) => {
      if (json) write(JSON.stringify(value));
    },
    bytes: json
      ? null
      : async (part) => {
          flush();
          if (!stdout.write(part)) await new Promise((resolve) => stdout.once("drain", resolve));
        },
    warn: (text) => {
      flush();
      stderr.write(`${stderr.isTTY ? fold(text, columns(stderr)) : text}\n`);
    },
    flush,
    progress: () => makeProgress(stderr),
  };
}

function makeProgress(stderr: NodeJS.WriteStream): Progress {
  if (!stderr.isTTY) return { at: () => {}, done: () => {} };
  const started = Date.now();
  let shown = 0;
  return {
    at: (text) => {
      const now = Date.now();
      if (now - started < 300 || now - shown < 80) return;
      shown = now;
      stderr.write(`\r\x1b[2K${text.slice(0, columns(stderr) - 1)}`);
    },
    done: () => {
      if (shown) stderr.write("\r\x1b[2K");
    },
  };
}

/** Text from outside, made harmless for a terminal: control characters are shown, not obeyed. */
export const plain = (text: string): string =>
  text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (c) => {
    if (c === "\n") return "⏎";
    if (c === "\t") return " ";
    return `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });

/** How wide a terminal is, in columns; those that do not say it (a serial line says 0) are taken for 80. */
export const columns = (stream: NodeJS.WriteStream): number => stream.columns || 80;

/** Shown over the character before them. */
const NARROW = /^[\p{Mn}\p{Me}\p{Cf}]/u;
/** Scripts and pictures that take two columns of a terminal. */
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{16fe0}-\u{18aff}\u{1b000}-\u{1b2ff}\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}\p{Emoji_Presentation}]/u;

/** Columns of a terminal that a character takes. */
const columnsOf = (character: string): number => (NARROW.test(character) ? 0 : WIDE.test(character) ? 2 : 1);

/** At most `width` columns of a terminal, cut with an ellipsis. */
export function clip(text: string, width: number): string {
  let used = 0;
  /** Where the last character ends behind which the ellipsis has room. */
  let fits = 0;
  let at = 0;
  for (const character of text) {
    used += columnsOf(character);
    if (used > width) return `${text.slice(0, fits)}…`;
    at += character.length;
    if (used < width) fits = at;
  }
  return text;
}

/** Escape sequences that take no column. */
const STYLED = /\x1b\[[\d;]*m/g;
/** A word, or a command in backticks, with what is attached to it, behind its spaces. */
const WORDS = /( *)((?:`[^`]*`|[^ `])+|`)/g;
const widthOf = (text: string): number => {
  let width = 0;
  for (const character of text.replace(STYLED, "")) width += columnsOf(character);
  return width;
};

/**
 * Lines of at most `width` columns, broken between words; further ones stand `hang` columns to the right of the first. A command in backticks
 * stays whole, to be copied, and what is longer than a line is left to the terminal.
 */
export function fold(text: string, width = 80, hang = 0): string {
  const foldLine = (line: string): string => {
    if (widthOf(line) <= width) return line;
    const indent = " ".repeat(/^ */.exec(line)![0].length + hang);
    const lines = [""];
    for (const [, spaces, word] of line.matchAll(WORDS)) {
      const longer = `${lines.at(-1)}${spaces}${word}`;
      if (lines.at(-1)!.trim() === "" || widthOf(longer) <= width) lines[lines.length - 1] = longer;
      else lines.push(`${indent}${word}`);
    }
    return lines.join("\n");
  };
  return text.split("\n").map(foldLine).join("\n");
}
