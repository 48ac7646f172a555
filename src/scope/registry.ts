/** Names of scopes and workspaces: refs to logs. */
import { realpathSync } from "node:fs";
import { importOf } from "../trace/bundle/imported.ts";
import { link, sha256, target } from "../trace/bytes.ts";
import type { Json, Link, LogHeader, Origin } from "../trace/ports.ts";
import { type EmbeddedStore, newLogId } from "../trace/store.ts";
import { foreignGrants } from "./foreign.ts";
import { type Guards, lowerGuards } from "./guards.ts";
import { type Limits, lowerLimits } from "./limits.ts";
import { covers, lowerNetwork, type Network } from "./network.ts";

/** A scope as its name stands for it. */
export interface ScopeRef {
  name: string;
  log: string;
  /** Id of the workspace that it was forked from, in the end. */
  workspace: string;
  /** Name of the scope it was forked from; null if from main. */
  parent: string | null;
  /** ms since the epoch. */
  created: number;
  /** When it was discarded, ms since the epoch; null while it stands. */
  discarded: number | null;
  version: number;
}

/** Authority of a scope. A child has a subset of its parent's. */
export interface Grants {
  /** Paths inside the workspace, relative, that its commands cannot write. */
  readOnly: string[];
  /** Absolute paths outside the workspace that its commands can write. */
  writable: string[];
  /** What its processes can reach; the host's network where it is not said. */
  network?: Network;
  /** What it may reach through the proxy besides the names that every run may: rules of `network.ts`. */
  hosts?: string[];
  /** Names of effects that need consent and have it: they are performed without a question. */
  allow?: string[];
  /** What its processes may use. */
  limits?: Limits;
  /** Gates without which its calls are not made, unless their default says so. */
  guards?: Guards;
  /** What its commands see instead of the host. */
  root?: RootGrant;
}

/** An image as the root of a scope's commands: what it held when the scope began, and the blob that says what it is (`image.ts`). */
export type RootGrant = {
  tree: Link;
  mtimes: Link;
  vcs?: Link;
  vcsMtimes?: Link;
  about: Link;
  /** Where the workspace is seen in it; at its own path without. */
  at?: string;
  /** Where commands start; in the workspace without, and where there is no such directory in it (any more). */
  start?: string;
};

export const NO_GRANTS: Grants = { readOnly: [], writable: [] };

/** The grants that a child may have: asked, but never more than its parent's. */
export const attenuate = (parent: Grants, asked: Partial<Grants>): Grants => ({
  readOnly: [...new Set([...parent.readOnly, ...(asked.readOnly ?? [])])].sort(),
  writable: (asked.writable ?? parent.writable).filter((path) => parent.writable.includes(path)).sort(),
  ...((parent.network || asked.network) && { network: lowerNetwork(parent.network, asked.network) }),
  ...((parent.hosts || asked.hosts) && {
    hosts: (asked.hosts ?? parent.hosts ?? []).filter((rule) => mayReach(parent, rule)).sort(),
  }),
  ...(parent.allow && { allow: (asked.allow ?? parent.allow).filter((name) => parent.allow!.includes(name)).sort() }),
  ...((parent.limits || asked.limits) && { limits: lowerLimits(parent.limits, asked.limits) }),
  ...((parent.guards || asked.guards) && { guards: lowerGuards(parent.guards, asked.guards) }),
  ...(parent.root && { root: parent.root }),
});

/** Whether grants have all that a host rule means. */
export const mayReach = ({ network = "host", hosts = [] }: Grants, rule: string): boolean =>
  network === "host" || (network === "proxy" && hosts.some((each) => covers(each, rule)));

const NAME = /^[a-z0-9][a-z0-9_-]{0,47}(\.[0-9]{1,6}){0,16}$/;

export const isName = (word: string): boolean => NAME.test(word);

/** By this name operations and rows know the user's working directory, so no scope has it. */
const MAIN = "main";

/** Thrown for a name that is taken, unknown or malformed. */
export class NameError extends Error {}

export function checkName(name: string): string {
  if (name === MAIN) throw new NameError(`${MAIN} is the name of your working directory: choose another one.`);
  if (!isName(name))
    throw new NameError(
      `${JSON.stringify(name)} is no name for a scope: use lower-case letters, digits, - and _, at most 48.`,
    );
  return name;
}

/** The real path of a workspace and its id, which stays the same for the same directory. Throws `NameError` if it is not there. */
export function workspaceOf(directory: string): { path: string; id: string } {
  let path: string;
  try {
    path = realpathSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new NameError(`The directory ${directory} is not there any more: put it back where it was.`);
  }
  return { path, id: sha256(path).slice(0, 16) };
}

interface Value {
  log: string;
  workspace: string;
  parent: string | null;
  created: number;
  discarded: number | null;
}

const parse = (name: string, ref: { value: string; version: number }): ScopeRef => ({
  ...(JSON.parse(ref.value) as Value),
  name,
  version: ref.version,
});

export async function findScope(store: EmbeddedStore, name: string): Promise<ScopeRef | null> {
  const ref = await store.refs.get(`scope/${name}`);
  return ref ? parse(name, ref) : null;
}

export async function listScopes(store: EmbeddedStore, workspace?: string): Promise<ScopeRef[]> {
  const scopes = (await store.refs.list("scope/")).map((ref) => parse(ref.name.slice("scope/".length), ref));
  return workspace === undefined ? scopes : scopes.filter((scope) => scope.workspace === workspace);
}

export async function setDiscarded(store: EmbeddedStore, scope: ScopeRef, discarded: number | null): Promise<boolean> {
  const { name, version, ...value } = scope;
  return store.refs.cas(`scope/${name}`, version, JSON.stringify({ ...value, discarded }));
}

export interface NewScope {
  name: string;
  workspace: { path: string; id: string };
  parent: string | null;
  /** Where it is forked from; null for a run, whose step 0 names main. */
  origin: Origin | null;
  grants: Grants;
  meta?: { [key: string]: Json };
  /** Writes into its log, and syncs it, before the scope has its name: nobody ever finds it without that. */
  begin?: (log: string) => Promise<void>;
}

/** Creates the log and the name of a scope. Synced at return. Throws `NameError` if the name is taken. */
export async function createScope(store: EmbeddedStore, spec: NewScope): Promise<ScopeRef> {
  checkName(spec.name);
  const created = Date.now();
  const header: LogHeader = {
    v: 1,
    type: "log",
    id: newLogId(),
    origin: spec.origin,
    meta: {
      ...spec.meta,
      kind: "scope",
      name: spec.name,
      workspace: link("blob", await store.objects.put(Buffer.from(spec.workspace.path))),
      grants: { ...spec.grants },
      created,
    },
  };
  await store.objects.sync();
  await store.logs.create(header);
  try {
    await spec.begin?.(header.id);
  } catch (error) {
    store.logs.remove(header.id);
    throw error;
  }
  const value: Value = { log: header.id, workspace: spec.workspace.id, parent: spec.parent, created, discarded: null };
  if (!(await store.refs.cas(`scope/${spec.name}`, 0, JSON.stringify(value)))) {
    store.logs.remove(header.id);
    throw new NameError(`There is a scope ${spec.name} already: choose another name with --scope.`);
  }
  return { ...value, name: spec.name, version: 1 };
}

/** The log of a workspace's main, made at first use. */
export async function mainLog(store: EmbeddedStore, workspace: { path: string; id: string }): Promise<string> {
  for (;;) {
    const ref = await store.refs.get(`main/${workspace.id}`);
    if (ref) return (JSON.parse(ref.value) as { log: string }).log;
    const path = link("blob", await store.objects.put(Buffer.from(workspace.path)));
    await store.objects.sync();
    const header: LogHeader = {
      v: 1,
      type: "log",
      id: newLogId(),
      origin: null,
      meta: { kind: "main", name: "main", workspace: path, created: Date.now() },
    };
    await store.logs.create(header);
    if (await store.refs.cas(`main/${workspace.id}`, 0, JSON.stringify({ log: header.id }))) return header.id;
    store.logs.remove(header.id);
  }
}

export async function grantsOf(store: EmbeddedStore, log: string): Promise<Grants> {
  const grants = (await store.logs.header(log))?.meta.grants;
  if (await importOf(store, log)) return foreignGrants(grants);
  return (grants as unknown as Grants | undefined) ?? NO_GRANTS;
}

/** The directory that a scope belongs to here. */
export const workspacePath = async (store: EmbeddedStore, log: string): Promise<string> => {
  const named = (await importOf(store, log))?.workspace ?? (await store.logs.header(log))?.meta.workspace;
  const bytes = typeof named === "string" ? await store.objects.get(target(named as Link)) : null;
  if (!bytes) throw new Error(`The log ${log} does not say which directory it belongs to: run \`shepherd fsck\`.`);
  return Buffer.from(bytes).toString();
};

const SMALL_WORDS = new Set([
  "the",
  "a",
  "an",
  "to",
  "of",
  "in",
  "on",
  "and",
  "for",
  "with",
  "please",
  "now",
  "it",
  "this",
  "that",
]);

/** A name for a run that does what `task` says: its first words. */
export function nameFor(task: string): string {
  const words = task
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word && !SMALL_WORDS.has(word));
  return words.slice(0, 2).join("-").slice(0, 24).replace(/-+$/, "") || "run";
}

/** `name`, or the first of `name-2`, `name-3`, … that is free. */
export async function freeName(store: EmbeddedStore, name: string): Promise<string> {
  for (let k = 1; ; k++) {
    const candidate = k === 1 ? name : `${name}-${k}`;
    if (candidate !== MAIN && !(await store.refs.get(`scope/${candidate}`))) return candidate;
  }
}
