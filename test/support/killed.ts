/** Programs that are killed: by themselves, or after some time. */
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";

export interface Told {
  /** After so many ms it is killed, unless it has ended. */
  ms?: number | undefined;
  env?: { [name: string]: string };
}

/** Runs a program of Node to its end, and gives the object that it prints; null where it was killed. Fails where it says something is wrong. */
export async function untilKilled<T>(args: readonly string[], { ms, env }: Told = {}): Promise<T | null> {
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
  const over = new AbortController();
  if (ms !== undefined)
    void sleep(ms, undefined, { signal: over.signal }).then(
      () => child.kill("SIGKILL"),
      () => {},
    );
  const signal = await ended.finally(() => over.abort());
  if (signal === "SIGKILL") return null;
  expect(wrong).toBe("");
  return JSON.parse(said) as T;
}
