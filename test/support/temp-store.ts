import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { type EmbeddedStore, openStore } from "../../src/trace/store.ts";
import { removeAll } from "./remove.ts";

/** A store in a temporary directory, with a directory beside it; removed by `end`. */
export async function tempStore(): Promise<{ store: EmbeddedStore; directory: string; end(): Promise<void> }> {
  const directory = mkdtempSync(`${tmpdir()}/shepherd-test-`);
  const store = await openStore(`${directory}/store`);
  return {
    store,
    directory,
    end: async () => {
      await store.close();
      removeAll(directory);
    },
  };
}
