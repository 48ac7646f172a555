/** What the user sees: colours on a terminal only, progress that goes away, plain lines through a pipe, objects with --json. */
import { styleText } from "node:util";

export type Style = Parameters<typeof styleText>[0];

export interface Output {
  readonly json: boolean;
  readonly terminal: boolean;
  /** Columns of the terminal; 80 through a pipe. */
  readonly width: number;
  style(style: Style, text: string): string;
  /** A line on standard output; left out with --json. */
  line(text?: string): void;
  /** An object on a line of standard output; only with --json. */
  object(value: object): void;
  /** A line on standard error. */
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
    width: stdout.columns ?? 80,
    style: (style, text) => (coloured ? styleText(style, text, { validateStream: false }) : text),
    line: (text = "") => {
      if (!json) write(text);
    },
    object: (value) => {
      if (json) write(JSON.stringify(value));
    },
    warn: (text) => {
      flush();
      stderr.write(`${text}\n`);
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
      stderr.write(`\r\x1b[2K${text.slice(0, (stderr.columns ?? 80) - 1)}`);
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

/** At most `width` characters, cut with an ellipsis. */
export const clip = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
