/** Questions to the person at the terminal. Through a pipe the answer is no, also at Ctrl-D and at Ctrl-C, which stops the work besides. */
import { createInterface } from "node:readline/promises";
import { columns, fold, type Output } from "./output.ts";

export async function askYesNo(
  { attached }: Pick<Output, "attached">,
  question: string,
  otherwise = false,
): Promise<boolean> {
  if (!attached || !process.stdin.isTTY || !process.stderr.isTTY) return otherwise;
  // What was told before it is out then.
  await new Promise((resolve) => setImmediate(resolve));
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const gone = new AbortController();
  lines.on("close", () => gone.abort());
  lines.on("SIGINT", () => {
    // The terminal gives it to who reads, not to the process.
    process.emit("SIGINT", "SIGINT");
    gone.abort();
  });
  try {
    const asked = `${fold(`${question} [${otherwise ? "Y/n" : "y/N"}]`, columns(process.stderr))} `;
    const answer = (await lines.question(asked, { signal: gone.signal })).trim().toLowerCase();
    return answer === "" ? otherwise : answer.startsWith("y");
  } catch (error) {
    if ((error as Error).name !== "AbortError") throw error;
    process.stderr.write("\n");
    return false;
  } finally {
    lines.close();
  }
}

/** Asks about a file that runs code later. */
export const confirmOnTerminal =
  (out: Output) =>
  async (path: string, why: string): Promise<boolean> =>
    out.json ? false : askYesNo(out, `${path} ${why}. Land it?`);
