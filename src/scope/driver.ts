/** Which driver the scopes of a store get their files from. */
import type { EmbeddedStore } from "../trace/store.ts";
import { storeGeneration } from "../trace/writers.ts";
import type { Driver } from "../world/driver.ts";
import { type Layers, type Mounts, usable } from "../world/layered.ts";
import { portableDriver } from "../world/portable.ts";
import { detectMethod } from "./exec/abilities.ts";
import { type Helper, helperOf } from "./exec/helper.ts";

/** For the verb that runs: it is registered as a writer, so until it ends nothing is collected that the driver's caches name. */
export const driverOf = (store: EmbeddedStore): Driver =>
  portableDriver({
    directory: store.cache("work"),
    objects: store.objects,
    generation: storeGeneration(store),
    layers: layersIn(store),
  });

const layersIn = (store: EmbeddedStore): Layers => ({
  bases: store.cache("bases"),
  roots: ["workspace", "root"],
  mounts: mountsOf,
});

/** Whether scopes of this store stand on layers. */
export const hasLayers = async (store: EmbeddedStore): Promise<boolean> =>
  (await usable(layersIn(store)).catch(() => null)) !== null;

/**
 * Overlays in the mounts of the helper, where a sandbox finds them, too. Null where a directory of the layer below could not be renamed there,
 * without which `git mv` and others fail.
 */
export async function mountsOf(): Promise<Mounts | null> {
  const { method } = await detectMethod();
  if (!method || !("helper" in method)) return null;
  return mountsIn(await helperOf(method.helper, method.how));
}

export const mountsIn = ({ pid, renames, overlay, unmount, changed, remove, spread }: Helper): Mounts | null =>
  renames === "no"
    ? null
    : { root: `/proc/${pid}/root`, renames: renames === "kernel", overlay, unmount, changed, remove, spread };
