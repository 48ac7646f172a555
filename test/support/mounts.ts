/** Who makes overlays, as this user and as an ordinary one has them. */
import { mountsIn } from "../../src/scope/driver.ts";
import { detect } from "../../src/scope/exec/abilities.ts";
import { findHelper, helperOf } from "../../src/scope/exec/helper.ts";
import type { Mounts } from "../../src/world/layered.ts";

const { helper, how } = await detect();
const hows = how === "root" ? (["root", "userns"] as const) : (["userns"] as const);

export const kinds: Array<{ whose: string; mounts: Mounts }> = [];
for (const each of helper ? hows : []) {
  const mounts = await helperOf(findHelper()!, each).then(mountsIn, () => null);
  if (mounts) kinds.push({ whose: each === "root" ? "root's" : "an ordinary user's", mounts });
}
if (kinds.length < hows.length)
  console.log("Tests of layers are skipped: there are no overlays here, or not all kinds.");
