/** Programs that are killed: by themselves, or after some time. */
import { spawn } from "node:child_process";
import { expect } from "vitest";

export interface Told {
  /** After so many ms it is killed, unless it has ended. */
  ms?: number | undefined;
  env?: { [name: string]: string };
  /** Kills it once it aborts. */
  signal?: AbortSignal;
}

/** Runs a program of Node to its end, and gives the object that it prints; null where it was killed. Fails where it says something is wrong. */
export async function untilKilled<T>(
  args: readonly string[],
  { ms, env, signal: over = NEVER }: Told = {},
): Promise<T | null> {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  let said = "";
  let wrong = "";
  child.stdout.on("data", (chunk) => {
    said += chunk;
  });
  child.stderr.on("data", (chunk) => {
    wrong += chunk;
  });
  const ended = new Promise<string | null>((done) => child.on("close", (_code, signal) => done(signal)));
  const kill = (): void => void child.kill("SIGKILL");
  over.addEventListener("abort", kill, { once: true });
  const timer = ms === undefined ? undefined : setTimeout(kill, ms);
  const signal = await ended;
  clearTimeout(timer);
  over.removeEventListener("abort", kill);
  if (signal === "SIGKILL") return null;
  expect(wrong).toBe("");
  return JSON.parse(said) as T;
}

const NEVER = new AbortController().signal;
