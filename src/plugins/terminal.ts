/** An agent that has the terminal of this process. */
import type { Sandbox } from "../scope/exec/sandbox.ts";

/** Runs it there; ends it, and sets the terminal back, when `signal` aborts. Throws where that was before. */
export async function onTerminal(
  sandbox: Sandbox,
  command: Parameters<Sandbox["interactive"]>[0],
  signal: AbortSignal,
): Promise<{ code: number | null }> {
  signal.throwIfAborted();
  const stop = (): void => void sandbox.killAll().catch(() => {});
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await sandbox.interactive(command);
  } finally {
    signal.removeEventListener("abort", stop);
    // A program that is killed leaves its screen, and the keys, as it had them.
    if (signal.aborted && process.stdout.isTTY)
      process.stdout.write("\x1b[?1049l\x1b[?2004l\x1b[?1000l\x1b[?25h\x1b[0m\r\n");
    if (signal.aborted && process.stdin.isTTY) {
      process.stdin.setRawMode(true);
      process.stdin.setRawMode(false);
    }
  }
}
