/** Scopes that came out of a file: what was allowed elsewhere is allowed to nobody here, and nobody drives them. */
import { importOf } from "../trace/bundle/imported.ts";
import { parseLink } from "../trace/bytes.ts";
import type { Json } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { lowerGuards } from "./guards.ts";
import { LIMITS, type Limits } from "./limits.ts";
import type { Grants, RootGrant } from "./registry.ts";

/** Thrown where a scope came out of a file and stays as it came. */
export class ImportedScope extends Error {
  constructor(name: string) {
    super(`${name} was imported and stays as it came: \`shepherd fork ${name} STEP\` makes a scope that can go on.`);
  }
}

/** Throws `ImportedScope` for a scope that nobody may drive here. */
export async function checkOurs(store: EmbeddedStore, scope: { name: string; log: string }): Promise<void> {
  if (await importOf(store, scope.log)) throw new ImportedScope(scope.name);
}

/** Whether a log came out of a file, or began as a fork of one that did. */
export async function isForeign(store: EmbeddedStore, log: string): Promise<boolean> {
  for (let at: string | undefined = log; at !== undefined; at = (await store.logs.header(at))?.origin?.log)
    if (await importOf(store, at)) return true;
  return false;
}

const isObject = (value: Json | undefined): value is { [key: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * What the header of an imported log gives its forks, whatever it says: the gateway and nothing else of a network, nothing to write outside of its
 * files; the paths it must not write, its limits, its image and the gates that hold it back, as far as these are such.
 */
export function foreignGrants(said: Json | undefined): Grants {
  const { readOnly, limits, guards, root } = isObject(said) ? said : {};
  return {
    readOnly: Array.isArray(readOnly) ? readOnly.filter(isInside) : [],
    writable: [],
    network: "gateway",
    ...(isObject(limits) && { limits: foreignLimits(limits) }),
    ...(isObject(guards) && { guards: lowerGuards({}, guards) }),
    ...(isRoot(root) && { root }),
  };
}

/** A path below the workspace, as they are kept. */
const isInside = (path: Json): path is string =>
  typeof path === "string" && !path.includes("\0") && path.split("/").every((name) => !["", ".", ".."].includes(name));

function foreignLimits(said: { [key: string]: Json }): Limits {
  const limits: { [key: string]: number } = {};
  for (const name of LIMITS)
    if (Number.isSafeInteger(said[name]) && (said[name] as number) > 0) limits[name] = said[name] as number;
  return limits as Limits;
}

function isRoot(said: Json | undefined): said is RootGrant {
  if (!isObject(said)) return false;
  const { tree, mtimes, vcs, vcsMtimes, about, at, start } = said;
  const isLink = (value: Json | undefined, kind: string): boolean =>
    typeof value === "string" && parseLink(value)?.kind === kind;
  const isPath = (value: Json | undefined): boolean =>
    value === undefined || (typeof value === "string" && value.startsWith("/") && isInside(value.slice(1)));
  return (
    [isLink(tree, "tree"), isLink(mtimes, "mtimes"), isLink(about, "blob"), isPath(at), isPath(start)].every(Boolean) &&
    (vcs === undefined || isLink(vcs, "tree")) &&
    (vcsMtimes === undefined || isLink(vcsMtimes, "mtimes"))
  );
}
