/** What is said to an agent over its standard input, and what it says over its output. */
import type { Writable } from "node:stream";
import type { CallOptions } from "../scope/exec/call.ts";
import type { Started } from "./plugin.ts";

export interface Heard {
  onOutput?(text: string): void;
  onError?(chunk: Buffer): void;
}

export interface Talk {
  /** Gives it its input, reads its output, and closes the first when a line of the second says that it is done. */
  follow(started: Started): Pick<CallOptions, "onStdin" | "onOutput">;
  /** Tells it something while it works; false if that cannot be (any more). */
  say(text: string): boolean;
}

/** @param goesOn whether it is to go on although it says that it is done */
export function makeTalk({ onOutput, onError }: Heard, goesOn: () => boolean): Talk {
  let pipe: Writable | null = null;
  let words: Started["say"];
  let rest = "";
  const decoder = new TextDecoder();
  return {
    say: (text) => {
      if (!pipe || !words) return false;
      pipe.write(words(text));
      return true;
    },
    follow: ({ input, over, told, say }) => {
      words = say;
      const line = (text: string): void => {
        const said = told ? told(text) : text;
        if (said !== null) onOutput?.(said);
        if (!over?.(text) || goesOn()) return;
        pipe?.end();
        pipe = null;
      };
      return {
        ...(input !== undefined && {
          onStdin: (stdin: Writable) => {
            pipe = stdin;
            if (input !== "") stdin.write(input);
            if (over) return;
            stdin.end();
            pipe = null;
          },
        }),
        onOutput: (chunk, stream) => {
          if (stream === "stderr") return onError?.(chunk);
          rest += decoder.decode(chunk, { stream: true });
          for (let at = rest.indexOf("\n"); at >= 0; at = rest.indexOf("\n")) {
            line(rest.slice(0, at));
            rest = rest.slice(at + 1);
          }
        },
      };
    },
  };
}
