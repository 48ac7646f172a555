/** Questions to the person at the terminal. Through a pipe the answer is no. */
import { createInterface } from "node:readline/promises";
import type { Output } from "./output.ts";

export async function askYesNo(question: string, otherwise = false): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return otherwise;
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = (await lines.question(`${question} [${otherwise ? "Y/n" : "y/N"}] `)).trim().toLowerCase();
    return answer === "" ? otherwise : answer.startsWith("y");
  } finally {
    lines.close();
  }
}

/** Asks about a file that runs code later. */
export const confirmOnTerminal =
  (out: Output) =>
  async (path: string, why: string): Promise<boolean> =>
    out.json ? false : askYesNo(`${path} ${why}. Land it?`);
