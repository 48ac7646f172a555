import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { realDisk } from "../../src/trace/disk.ts";
import { openStore } from "../../src/trace/store.ts";
import { memoryStores } from "../support/memory-store.ts";
import { processes } from "../support/processes.ts";
import { simDisk } from "../support/simdisk.ts";
import { type Backend, conformance } from "./conformance.ts";

conformance("the embedded store on the disk of this machine", async () => {
  const directory = mkdtempSync(`${tmpdir()}/shepherd-conformance-`);
  const { open, die, closeAll } = processes((options) =>
    openStore(`${directory}/store`, { disk: realDisk, ...options }),
  );
  return {
    open,
    die,
    end: async () => {
      await closeAll();
      rmSync(directory, { recursive: true });
    },
  };
});

conformance("the embedded store on a simulated disk", async () => {
  const disk = simDisk();
  const { open, die, closeAll } = processes((options) => openStore("/store", { disk, ...options }));
  return { open, die, end: closeAll };
});

conformance("a store in memory", async (): Promise<Backend> => {
  const stores = memoryStores();
  const { open, die } = processes(async ({ owner, alive }) => stores.open(owner(), alive));
  return { open, die, end: async () => {} };
});
