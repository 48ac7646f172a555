/** Which driver the scopes of a store get their files from. */
import type { EmbeddedStore } from "../trace/store.ts";
import { storeGeneration } from "../trace/writers.ts";
import type { Driver } from "../world/driver.ts";
import { portableDriver } from "../world/portable.ts";

/** For the verb that runs: it is registered as a writer, so until it ends nothing is collected that the driver's caches name. */
export const driverOf = (store: EmbeddedStore): Driver =>
  portableDriver({ directory: store.cache("work"), objects: store.objects, generation: storeGeneration(store) });
