/** A process that lands, to be killed. Its journal is a file of links, one a line. */
import * as fs from "node:fs";
import { land } from "../../src/run/landing/land.ts";
import { planLanding } from "../../src/run/landing/plan.ts";
import { openStore } from "../../src/trace/store.ts";

const [store, dir, id, from, to, journal] = process.argv.slice(2) as [string, string, string, string, string, string];
const { objects, close } = await openStore(store);
const { changes } = await planLanding(objects, from, to);
fs.writeSync(1, "begun\n");
await land({
  dir,
  id,
  changes,
  objects,
  sync: () => objects.sync(),
  journal: async (record) => fs.appendFileSync(journal, `${record}\n`),
  confirm: async () => true,
});
fs.writeSync(1, "ended\n");
await close();
