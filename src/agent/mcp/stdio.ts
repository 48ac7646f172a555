/** A server that is a program: it runs in the sandbox of the scope, and is spoken to by lines on its input and output. */
import type { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { Sandbox } from "../../scope/exec/sandbox.ts";
import type { Json } from "../../trace/ports.ts";
import { lineReader } from "./lines.ts";
import type { Carrier, Ear } from "./rpc.ts";

export interface Program {
  command: string;
  args: readonly string[];
  env: { [name: string]: string };
}

/** A line is at most this long. */
const LONGEST = 64 << 20;
/** So long its end is waited for once it reads no more, in ms. */
const PATIENCE = 2000;
/** So much of what it says beside is told where it ends. */
const TAIL = 2000;

/** Starts the program. It ends with the sandbox, or when it is closed. */
export async function startProgram(sandbox: Sandbox, { command, args, env }: Program, ear: Ear): Promise<Carrier> {
  const stop = new AbortController();
  let broken: Error | null = null;
  let said = "";
  const read = lineReader(LONGEST, (line) => {
    try {
      if (line !== null) ear.hear(JSON.parse(line) as Json);
    } catch {
      // Some write greetings to their output.
    }
  });
  const onOutput = (chunk: Buffer, stream: "stdout" | "stderr"): void => {
    if (stream === "stderr") said = (said + chunk.toString()).slice(-TAIL);
    else read(chunk);
  };
  let ended: Promise<void> = Promise.resolve();
  const input = await new Promise<Writable>((resolve, reject) => {
    const done = sandbox.exec({
      argv: [command, ...args],
      env,
      service: true,
      separate: true,
      maxOutput: 0,
      onStdin: resolve,
      onOutput,
      signal: stop.signal,
    });
    ended = done.then(
      ({ code, signal }) => {
        const lines = said.split("\n").filter((each) => each.trim() !== "");
        const words = lines.find((each) => /error/i.test(each)) ?? lines.at(-1);
        broken = new Error(`it ended (${signal ?? `exit code ${code}`}${words ? `: ${words}` : ""})`);
      },
      (error: Error) => {
        broken = error;
      },
    );
    void ended.then(() => {
      ear.ended(broken!);
      reject(broken!);
    });
  });
  return {
    get broken() {
      return broken;
    },
    send: async (message) => {
      if (broken) throw broken;
      const refused = await new Promise<Error | null | undefined>((resolve) => {
        input.write(`${JSON.stringify(message)}\n`, resolve);
      });
      if (!refused) return;
      // Its input is closed, mostly since it ends: how it ended says more.
      await Promise.race([ended, sleep(PATIENCE, undefined, { ref: false })]);
      throw broken ?? refused;
    },
    close: async () => {
      input.end();
      const late = setTimeout(() => stop.abort(), 1000);
      await ended;
      clearTimeout(late);
    },
  };
}
