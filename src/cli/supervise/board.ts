/** Lines that stay at the bottom of a terminal and are drawn anew in place; what is said meanwhile stands above them. Through a pipe there are none. */
import { clip, columns } from "../output.ts";

export interface Line {
  /** Cut where the terminal ends. */
  words: string;
  style(text: string): string;
}

export interface Board {
  set(lines: readonly Line[]): void;
  /** Something that stays, above the lines. */
  above(say: () => void): void;
  /** Leaves the lines as they are. */
  end(): void;
}

/** Of a terminal, so many rows are left to what is said. */
const ROOM = 4;
const LEAST = 3;

export function makeBoard(stream: NodeJS.WriteStream, flush: () => void): Board {
  let lines: readonly Line[] = [];
  let drawn = 0;
  const erase = (): void => {
    if (drawn > 0) stream.write(`\x1b[${drawn}A\r\x1b[0J`);
    drawn = 0;
  };
  const draw = (): void => {
    const width = columns(stream) - 1;
    const rows = Math.max(LEAST, (stream.rows || 24) - ROOM);
    const left = lines.length - rows;
    const shown = (left > 0 ? lines.slice(0, rows - 1) : lines).map(({ words, style }) => style(clip(words, width)));
    if (left > 0) shown.push(`… ${left + 1} more`);
    if (shown.length > 0) stream.write(`${shown.join("\n")}\n`);
    drawn = shown.length;
  };
  return {
    set: (next) => {
      if (!stream.isTTY) return;
      flush();
      erase();
      lines = next;
      draw();
    },
    above: (say) => {
      if (!stream.isTTY) return say();
      flush();
      erase();
      say();
      flush();
      draw();
    },
    end: () => {
      lines = [];
      drawn = 0;
    },
  };
}
