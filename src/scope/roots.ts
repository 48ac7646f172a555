/** The directories of a scope: what each is, and what a step says of it. */
import { target } from "../trace/bytes.ts";
import type { Carry, Link } from "../trace/ports.ts";
import type { RootSpec, WorldState } from "../world/driver.ts";
import type { FileState } from "../world/materialise.ts";
import type { OuterGit } from "../world/outer-git.ts";
import type { Ids } from "../world/statcache.ts";
import { SCRATCH_DIR } from "./exec/spec.ts";
import { MOUNTED } from "./exec/view.ts";
import { carriesOwners, carryOfImage, linksOf } from "./image.ts";
import type { Grants } from "./registry.ts";

export type Root = "workspace" | "git" | "config" | "tmp" | "root";

/** What agents keep in their configuration directories that no state needs. */
const CONFIG_SCRATCH: readonly string[] = [
  ...["backups", "cache", "debug", "ide", "log", "logs", "paste-cache", "shell-snapshots", "shell_snapshots"],
  ...["statsig", "telemetry", "tmp", ".tmp"],
];

/** What they depend on, see `FilesOptions`. */
interface Scope {
  workspace: string;
  grants: Grants;
  agent?: { config?: string } | undefined;
}

/** Where commands see the workspace. */
export const seenAt = ({ workspace, grants }: Pick<Scope, "workspace" | "grants">): string =>
  grants.root?.at ?? workspace;

/**
 * What a scope has besides the workspace that is its state: the Git directory that lies elsewhere, if it has one, the agent's configuration, the root that it
 * has instead of the host's, and a /tmp, but for the caches of the sandbox in it, and the places at which the sandbox mounts something: who removes one takes
 * the mount away.
 */
export function rootsOf(options: Scope, git: OuterGit | null): { [name in Root]: RootSpec } {
  const { grants, agent } = options;
  const mounted = [
    seenAt(options),
    ...(git ? [git.directory] : []),
    ...(agent?.config ? [agent.config] : []),
    ...grants.writable,
  ];
  const inTmp = mounted.flatMap((path) => /^\/(?:var\/)?tmp\/(.+)$/s.exec(path)?.[1] ?? []);
  const roots: { [name in Exclude<Root, "root">]: RootSpec } & { root?: RootSpec } = {
    workspace: {},
    git: {},
    config: { exclude: CONFIG_SCRATCH },
    tmp: { mode: 0o1777, exclude: [SCRATCH_DIR, ...inTmp] },
  };
  if (grants.root)
    roots.root = {
      mode: 0o755,
      owners: carriesOwners(),
      family: `image-${target(grants.root.tree).slice(0, 16)}`,
      exclude: [...MOUNTED, ...mounted].map((path) => path.slice(1)),
    };
  return roots as { [name in Root]: RootSpec };
}

export const workspaceState = (workspace: Link, carry: Carry): FileState => ({
  tree: target(workspace),
  mtimes: carry.mtimes ? target(carry.mtimes) : null,
  vcs: carry.vcs ? target(carry.vcs) : null,
  vcsMtimes: carry.vcsMtimes ? target(carry.vcsMtimes) : null,
});

/** The states of all but the workspace, as far as a step carries them. */
export const carriedState = (carry: Carry, hasRoot: boolean): WorldState<Root> => ({
  git: carry.outerVcs && { tree: target(carry.outerVcs), vcs: null },
  config: carry.config && { tree: target(carry.config), vcs: null },
  ...(hasRoot && { root: rootState(carry) }),
  tmp: carry.tmp && { tree: target(carry.tmp), vcs: carry.tmpVcs ? target(carry.tmpVcs) : null },
});

/** What a step carries of a scope's own root, and back. */
export const rootCarry = (ids: Ids): Carry => carryOfImage(linksOf(ids));
const rootState = ({ root, rootMtimes, rootVcs, rootVcsMtimes }: Carry): FileState => ({
  tree: target(root!),
  mtimes: rootMtimes ? target(rootMtimes) : null,
  vcs: rootVcs ? target(rootVcs) : null,
  vcsMtimes: rootVcsMtimes ? target(rootVcsMtimes) : null,
});
