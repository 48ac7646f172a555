/** What a verb gets: the store, opened at first use and closed at the end. */
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { type EmbeddedStore, openStore } from "../trace/store.ts";
import type { Output } from "./output.ts";
import type { Context } from "./verb.ts";

/** Where the store is: `SHEPHERD_DIR`, or `shepherd` in `XDG_DATA_HOME`. */
export function storeDirectory(env: NodeJS.ProcessEnv = process.env): string {
  if (env.SHEPHERD_DIR) return resolve(env.SHEPHERD_DIR);
  const data =
    env.XDG_DATA_HOME && isAbsolute(env.XDG_DATA_HOME) ? env.XDG_DATA_HOME : join(homedir(), ".local", "share");
  return join(data, "shepherd");
}

export function makeContext(out: Output, rest: string[] | null, signal: AbortSignal): Context {
  let opened: Promise<EmbeddedStore> | null = null;
  return {
    out,
    rest,
    signal,
    cwd: process.cwd(),
    store: () => {
      opened ??= openStore(storeDirectory());
      return opened;
    },
    close: async () => {
      await (await opened?.catch(() => null))?.close();
    },
  };
}
