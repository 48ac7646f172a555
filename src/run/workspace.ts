/** Which directory of the user's a path belongs to. */
import { dirname } from "node:path";
import { NameError, workspaceOf } from "../scope/registry.ts";
import type { EmbeddedStore } from "../trace/store.ts";

/** The workspace that a directory belongs to: the nearest known one at or above it, else the directory itself. Throws `NameError` where it can be none. */
export async function findWorkspace(
  store: EmbeddedStore,
  directory: string,
): Promise<{ path: string; id: string; known: boolean }> {
  const here = workspaceOf(directory);
  const inside = workspaceOf(store.directory).path;
  if (here.path === inside || here.path.startsWith(`${inside}/`))
    throw new NameError(`${here.path} is in the store itself: change to your project.`);
  for (let at = here; ; at = workspaceOf(dirname(at.path))) {
    if (await store.refs.get(`main/${at.id}`)) return { ...at, known: true };
    if (dirname(at.path) !== at.path) continue;
    if (here.path === at.path) throw new NameError(`${here.path} is the whole machine: change to your project.`);
    return { ...here, known: false };
  }
}
