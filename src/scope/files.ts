/**
 * The files and processes of a scope that is being driven: a directory of its own that commands see at the path of the user's, a /tmp of
 * its own, and the sandbox they run in. All of it is a cache: the store is the truth.
 */
import { existsSync, lstatSync, mkdirSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join, relative, resolve } from "node:path";
import { encodeJson, link, target } from "../trace/bytes.ts";
import { Forgotten } from "../trace/objects.ts";
import type { Carry, Hash, Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import type { OnLive, World } from "../world/driver.ts";
import { keepLacking } from "../world/lacking.ts";
import type { Source } from "../world/materialise.ts";
import { Missing } from "../world/missing.ts";
import { outerGit } from "../world/outer-git.ts";
import { quotePath } from "../world/paths.ts";
import { findIn } from "../world/rooted.ts";
import type { StatCache } from "../world/statcache.ts";
import { driverOf, hasLayers } from "./driver.ts";
import { detect } from "./exec/abilities.ts";
import { sharedMappings } from "./exec/inside.ts";
import { openSandbox, type Sandbox } from "./exec/sandbox.ts";
import { type SandboxSpec, SCRATCH_DIR, SECRETS, SERVICES, socketFolder } from "./exec/spec.ts";
import { whileStopped } from "./exec/stop.ts";
import { endLeftOver } from "./exec/track.ts";
import { imageEnv } from "./image.ts";
import { takeOver } from "./pool.ts";
import { type Grants, type ScopeRef, workspacePath } from "./registry.ts";
import { carriedState, type Root, rootCarry, rootsOf, seenAt, workspaceState } from "./roots.ts";
import { NO_SERVICES, type Services } from "./services.ts";

/** Thrown where files are asked for that are not there yet. */
export class NoState extends Error {}

export interface Files {
  /** Whether commands see the workspace at its original path. Known once the sandbox is open. */
  readonly samePath: boolean;
  /** Where the workspace is for the scope's commands. */
  readonly path: string;
  /** Where it lies on the host. */
  readonly host: string;
  /** Where commands start that say nothing else: there, or where an image says. */
  readonly start: string;
  /** Where the agent's configuration directory lies on the host, and where it is for the scope's commands; null if the run has none. */
  readonly config: { host: string; path: string } | null;
  /** Names of its services. */
  readonly services: readonly string[];
  /** The namespace its commands run in, made at first use. Its services are started in it, once the files are at a state. */
  sandbox(): Promise<Sandbox>;
  /** The command lines of what calls that have ended have left running, but for services. */
  leftRunning(): Promise<string[]>;
  /** The files as they are now, as content. */
  capture(): Promise<Taken>;
  /** Whether processes that went on after their calls have written since the last capture. What that left out is told with the next. */
  written(): Promise<boolean>;
  /** What they have written; null if nothing. `end`: ends them first. */
  background(options?: { end?: boolean }): Promise<Taken | null>;
  /** Ends the scope's processes and sets the files to a state. `seeds`: directories that hold the same files, to share blocks with. */
  restore(workspace: Link, carry: Carry, seeds?: Seeds): Promise<void>;
  /** Whether little has to be written to set new files to a state. */
  isNear(): Promise<boolean>;
  /**
   * Lets processes work on the user's own files, below what they change, while these are still being read; false where that cannot be. What needs to
   * know what they held waits for `sealed`.
   */
  stand(carry: Carry, sealed: Promise<Sealed>): Promise<boolean>;
  /** Whether the user has changed something since this was asked last that shows through. */
  showsThrough(): Promise<boolean>;
  /** Changes the workspace from the tree of the last capture to another one; processes go on, and find all else as they left it. */
  bring(workspace: Link): Promise<void>;
  close(): Promise<void>;
}

export interface Seeds {
  workspace: Source;
  git?: Source;
}

/** The user's files as they were read. */
export interface Sealed {
  tree: Hash;
  carry: Carry;
  source: Source & { cache: StatCache };
}

export interface Taken {
  workspace: Link;
  carry: Carry;
  /** How many entries of the workspace have come since the last capture that no state can hold, by what they are (`socket`, `unreadable`). */
  leftOut?: { [why: string]: number };
  /** The object that says what calls had left running; absent where they had nothing. */
  processes?: Link;
}

export interface FilesOptions {
  log: string;
  /** Log of the scope that it was forked from, whose files may be much the same. */
  parent?: string | undefined;
  /** Path of the user's directory. */
  workspace: string;
  /** Its id: the scopes of one directory hold much of the same. */
  family?: string | undefined;
  grants: Grants;
  /** The agent that works here: where it sees its configuration directory, if it has one; what of the user's it must not see; what network it has. */
  agent?: { config?: string; hide: readonly string[]; network: SandboxSpec["network"] } | undefined;
  services?: Services | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((text: string) => void) | undefined;
  /** Called with a sentence for each file that a state lacks since its bytes were forgotten. */
  onForgotten?: ((text: string) => void) | undefined;
}

/** Variables that no command of a scope gets: keys of providers, and ways to the user's agents and to other scopes. */
const WITHHELD =
  /^(ANTHROPIC_|OPENAI_|GEMINI_|GOOGLE_API_KEY|MISTRAL_|GROQ_|OPENROUTER_|XAI_|DEEPSEEK_|CLAUDE_|CODEX_|AZURE_OPENAI|SSH_AUTH_SOCK$|SSH_AGENT_PID$|SHEPHERD_)/;

export const scopeEnv = (env: NodeJS.ProcessEnv = process.env): { [name: string]: string } =>
  Object.fromEntries(
    Object.entries(env).filter((each): each is [string, string] => each[1] !== undefined && !WITHHELD.test(each[0])),
  );

/** Whether what lacks was destroyed on request, and is not lost by damage. */
export const isForgotten = (store: EmbeddedStore, id: Hash): Promise<boolean> =>
  store.objects.get(id).then(
    () => false,
    (error: unknown) => error instanceof Forgotten,
  );

/** What was captured, before it is told what was left out. */
type Untold = Omit<Taken, "leftOut">;

/** Where commands see what services write, below `/tmp`. */
const SERVICE_LOGS = `${SCRATCH_DIR}/services`;

/** Where nothing is mounted, a file named `.git` leads git to the user's own repository; by this it keeps to the scope's. */
const gitEnv = (workspace: string, git: string, own: string): { [name: string]: string } => ({
  GIT_DIR: join(git, own),
  GIT_COMMON_DIR: git,
  GIT_WORK_TREE: workspace,
});

/** Where a command starts that is to start in a directory of the workspace, as long as there is one: its path for commands. */
export const placeIn = ({ host, path, start }: Pick<Files, "host" | "path" | "start">, at = ""): string => {
  if (start !== path) return start;
  return statSync(join(host, at), { throwIfNoEntry: false })?.isDirectory() ? join(path, at) : path;
};

/** So long, in ms, processes stand still for a capture of which nobody knows yet how much it has to read. */
const MOMENT = 50;

/** Of so many processes is written down what they are, and so much of each. */
const MOST_PROCESSES = 20;
const MOST_WORDS = 300;

/** The files of a scope whose lease the caller holds. */
export async function openFilesOf(
  store: EmbeddedStore,
  ref: ScopeRef,
  options: Omit<FilesOptions, "log" | "workspace" | "family">,
): Promise<Files> {
  // What several scopes stand on none need take over.
  if (!(await hasLayers(store))) await takeOver(store, driverOf(store), ref);
  return openFiles(store, {
    ...{ log: ref.log, workspace: await workspacePath(store, ref.log), family: ref.workspace },
    ...options,
  });
}

/** The files of a scope that this process drives. They are opened by the first `restore`: what is asked for before throws. */
export function openFiles(store: EmbeddedStore, options: FilesOptions): Files {
  const driver = driverOf(store);
  const git = outerGit(options.workspace);
  /** Under this name processes are found where no namespace holds them. */
  const owner = `${store.directory}/${options.log}`;
  // Whether the state has what is to be seen there.
  let hasGit = false;
  let hasConfig = false;
  let hasRoot = false;
  let opening: Promise<World<Root> | null> | null = null;
  let world: World<Root> | null = null;
  let onLive: OnLive<Root> | null = null;
  let sandbox: Promise<Sandbox> | null = null;
  let samePath = true;
  let last: Hash | null = null;
  // Where it stands on the user's own files: until it is known what these held.
  let unsealed: Promise<void> | null = null;
  const preparing = new AbortController();
  let prepared: Promise<void> | null = null;
  // The Git directories of the last capture, and its own root: a process may have committed, or installed something, and changed no file.
  let lastCarried = "";
  // What the state that the files were set to lacks.
  let lacking: { was: Hash; paths: Buffer[] } | null = null;
  // What was left out of the last capture, and what of that nobody was told of yet.
  let known = new Set<string>();
  const untold: string[] = [];
  // Whether a process was there at the last capture that may have written since, also if it has ended by now.
  let mayWrite = false;
  // Whether one that nobody waits for was writing at the last capture.
  let goesOn = false;
  // Until when the files are being set.
  let setting: Promise<unknown> = Promise.resolve();
  const { services = NO_SERVICES } = options;
  const progress =
    (what: string) =>
    ({ files }: { files: number }): void =>
      options.onProgress?.(`${what}: ${files} files`);

  const opened = (): World<Root> => {
    if (!world) throw new NoState("The scope is at no state yet, so it has no files.");
    return world;
  };

  /** Paths as processes see them, by the roots in which they lie there. */
  const mappedIn = (paths: ReadonlySet<string>): { [name in Root]?: Set<string> } => {
    const places = samePath
      ? {
          ...{ workspace: seenAt(options), git: git?.directory, config: options.agent?.config, tmp: "/tmp" },
          ...(hasRoot && { root: "" }),
        }
      : opened().paths;
    const found: { [name in Root]?: Set<string> } = {};
    for (const [root, place] of Object.entries(places) as [Root, string | undefined][]) {
      const start = place !== undefined && `${Buffer.from(place).toString("latin1")}/`;
      const below = start ? [...paths].filter((path) => path.startsWith(start)) : [];
      if (start && below.length > 0) found[root] = new Set(below.map((path) => path.slice(start.length)));
    }
    return found;
  };

  const quiet = async <T>(work: () => Promise<T>): Promise<T> => (sandbox ? (await sandbox).quiet(work) : work());

  const take = async (): Promise<Untold> => {
    await unsealed;
    return quiet(takeNow);
  };

  const takeNow = async (): Promise<Untold> => {
    // Not to be stopped: what a step has done is captured also when its run is.
    const inside = sandbox && (await sandbox);
    const look = async () => {
      const at = Date.now();
      const pids = inside ? await inside.inside() : [];
      const files = mappedIn(sharedMappings(pids));
      const captured = await opened().capture({
        onProgress: progress("reading the scope's files"),
        ...(inside && { mapped: { at, files } }),
      });
      return {
        captured,
        pids,
        moves: Object.keys(files).length > 0 || Object.values(captured).some(({ young }) => young > 0),
      };
    };
    const left = async (): Promise<number[]> => (inside ? inside.inside({ left: true }) : []);
    // What goes on writing is stopped for a moment, so that no record of it is there by half, and all its files are of one moment: at once, if
    // it did so the last time, and as long as that takes no longer.
    const first =
      goesOn && (await left()).length > 0
        ? await whileStopped(left, look, MOMENT)
        : { done: await look(), held: false };
    goesOn = first.done.moves && (await left()).length > 0;
    const { captured, pids } = goesOn && !first.held ? (await whileStopped(left, look)).done : first.done;
    const { workspace, git, config, tmp, root } = captured;
    const tree = lacking
      ? await keepLacking(store.objects, workspace.tree, lacking.was, lacking.paths)
      : workspace.tree;
    last = tree;
    const skipped = workspace.skipped.filter(({ why }) => why !== "excluded" && why !== "mounted");
    untold.push(...skipped.filter(({ path }) => !known.has(path.toString("latin1"))).map(({ why }) => why));
    known = new Set(skipped.map(({ path }) => path.toString("latin1")));
    const carry: Carry = { mtimes: link("mtimes", workspace.mtimes), tmp: link("tree", tmp.tree) };
    if (hasGit) carry.outerVcs = link("tree", git.tree);
    if (hasConfig) carry.config = link("tree", config.tree);
    if (tmp.vcs) carry.tmpVcs = link("tree", tmp.vcs);
    if (hasRoot) Object.assign(carry, rootCarry(root));
    if (workspace.vcs) carry.vcs = link("tree", workspace.vcs);
    if (workspace.vcsMtimes) carry.vcsMtimes = link("mtimes", workspace.vcsMtimes);
    lastCarried = `${carry.vcs} ${carry.outerVcs} ${carry.root}`;
    // One that began or ended meanwhile may have written behind the capture.
    mayWrite =
      inside !== null && (options.agent !== undefined || pids.length > 0 || (await inside.inside()).length > 0);
    const processes = pids.length > 0 && (await namedProcesses(await inside!.leftRunning(pids)));
    return { workspace: link("tree", tree), carry, ...(processes && { processes }) };
  };

  const namedProcesses = async (commands: readonly string[]): Promise<Link | null> => {
    if (commands.length === 0) return null;
    const processes = commands
      .slice(0, MOST_PROCESSES)
      .map((each) => each.toWellFormed().slice(0, MOST_WORDS).toWellFormed());
    return link("json", await store.objects.put(encodeJson({ type: "processes", v: 1, processes })));
  };

  /** Tells once what was left out. */
  const told = (taken: Untold): Taken => {
    const leftOut: { [why: string]: number } = {};
    for (const why of untold.splice(0)) leftOut[why] = (leftOut[why] ?? 0) + 1;
    return Object.keys(leftOut).length > 0 ? { ...taken, leftOut } : taken;
  };

  const behind = async (end: boolean): Promise<Untold | null> => {
    // Of what was there before nobody knows yet.
    if (!sandbox || !mayWrite || (unsealed && !end)) return null;
    await unsealed;
    const { killAll } = await sandbox;
    if (end) await services.halt(killAll);
    const before = { tree: last!, carried: lastCarried };
    const captured = await take();
    return captured.workspace === link("tree", before.tree) && lastCarried === before.carried ? null : captured;
  };

  const start = (): string => {
    const named = options.grants.root?.start;
    const there = named && hasRoot ? findIn(opened().paths.root, named) : null;
    const isThere = there !== null && lstatSync(there).isDirectory();
    return isThere ? named! : samePath ? seenAt(options) : opened().paths.workspace;
  };

  const open = async (): Promise<Sandbox> => {
    const path = seenAt(options);
    const { workspace: host, git: gitHost, config, tmp, root } = opened().paths;
    const { agent, grants } = options;
    if (grants.root && !hasRoot) throw new NoState("The scope's image is in none of its states.");
    // What may write above of it can put a link there.
    for (const each of options.grants.writable)
      if (existsSync(each) && realpathSync(each) !== each)
        throw new Error(
          `${each} was given to write to, and there is a symbolic link in it now: put back what was there.`,
        );
    const shown = services.names.length > 0;
    if (shown) mkdirSync(services.folder, { recursive: true, mode: 0o700 });
    const sandbox = await openSandbox({
      binds: [
        { from: host, to: path, mode: "rw" },
        ...(git && hasGit ? [{ from: gitHost, to: git.directory, mode: "rw" as const }] : []),
        ...(agent?.config !== undefined && hasConfig ? [{ from: config, to: agent.config, mode: "rw" as const }] : []),
        ...(shown ? [{ from: services.folder, to: `/tmp/${SERVICE_LOGS}`, mode: "ro" as const }] : []),
      ],
      readOnly: options.grants.readOnly
        .map((each) => relative(options.workspace, resolve(options.workspace, each)))
        .filter((each) => existsSync(join(host, each)))
        .map((each) => join(path, each)),
      writable: options.grants.writable,
      // In this order, since in what an agent's plugin hides whole nothing else need be hidden.
      hide: [
        store.directory,
        socketFolder(),
        ...(agent?.hide ?? []),
        ...SECRETS.map((each) => join(homedir(), each)),
        ...SERVICES,
      ],
      tmp,
      ...(grants.root && { root, home: start() }),
      scope: owner,
      limits: options.grants.limits,
      files: join(store.cache("work"), options.log),
      env: {
        ...(grants.root ? await imageEnv(store, grants.root, root) : scopeEnv()),
        ...(git && hasGit && !(await detect()).samePath && gitEnv(host, gitHost, git.own)),
      },
      network: options.grants.network === "host" ? "host" : (agent?.network ?? "host"),
    });
    samePath = sandbox.abilities.samePath;
    return sandbox;
  };

  const restore: Files["restore"] = async (workspace, carry, seeds) => {
    await unsealed;
    if (sandbox) await services.halt((await sandbox).killAll);
    mayWrite = false;
    hasGit = carry.outerVcs !== undefined;
    hasConfig = carry.config !== undefined;
    hasRoot = carry.root !== undefined && options.grants.root !== undefined;
    const state = { workspace: workspaceState(workspace, carry), ...carriedState(carry, hasRoot) };
    const { signal } = options;
    const how = { seeds, signal, onProgress: progress("preparing the scope's files") };
    const there = world;
    if (there) await quiet(() => there.restore(state, how));
    else {
      // What a killed owner's commands go on writing would be found with a step of ours.
      if (!driver.isAtRest(options.log)) await endLeftOver(owner);
      const roots = rootsOf(options, git);
      const spec = { id: options.log, roots, state, like: options.parent, family: options.family };
      const standing = driver.open({ ...spec, ...how });
      opening = standing;
      world = await standing;
    }
    const missing = opened().missing.filter(({ root }) => root === "workspace");
    for (const { path, id } of missing) {
      if (!(await isForgotten(store, id))) throw new Missing(id, "content", path);
      options.onForgotten?.(`${quotePath(path)} was forgotten, so the files of the run are without it.`);
    }
    lacking = missing.length > 0 ? { was: target(workspace), paths: missing.map(({ path }) => path) } : null;
    last = target(workspace);
  };

  return {
    get samePath() {
      return samePath;
    },
    get path() {
      return samePath ? seenAt(options) : opened().paths.workspace;
    },
    get host() {
      return opened().paths.workspace;
    },
    get start() {
      return start();
    },
    get config() {
      if (!hasConfig) return null;
      const { config: host } = opened().paths;
      return { host, path: samePath ? (options.agent?.config ?? host) : host };
    },
    services: services.names,
    sandbox: async () => {
      opened();
      await setting;
      sandbox ??= open();
      const inside = await sandbox;
      const { workspace: host } = opened().paths;
      const place = { host, path: samePath ? seenAt(options) : host, start: start() };
      if (services.start(inside, (at) => placeIn(place, at))) mayWrite = true;
      return inside;
    },
    leftRunning: async () => (sandbox ? (await sandbox).leftRunning() : []),
    capture: async () => told(await take()),
    written: async () => (await behind(false)) !== null,
    background: async ({ end = false } = {}) => {
      const captured = await behind(end);
      return captured && told(captured);
    },
    restore: (workspace, carry, seeds) => {
      const done = restore(workspace, carry, seeds);
      setting = done.catch(() => {});
      return done;
    },
    isNear: () => driver.isNear("workspace", options.family),
    stand: async (carry, sealed) => {
      if (git || options.grants.root) return false;
      if (!driver.isAtRest(options.log)) await endLeftOver(owner);
      const state = carriedState(carry, false);
      const spec = { id: options.log, roots: rootsOf(options, git), state, signal: options.signal };
      const standing = driver.openOnLive<Root>(spec, { root: "workspace", path: options.workspace });
      opening = standing;
      const found = await standing;
      if (!found) return false;
      hasConfig = carry.config !== undefined;
      world = onLive = found;
      unsealed = sealed.then(({ tree, carry, source }) => {
        found.ground(source.cache);
        last = tree;
        unsealed = null;
        // Forks stand on none of the user's own files: what they stand on is made while the agent thinks.
        const { signal } = preparing;
        prepared = driver
          .prepare("workspace", options.family, workspaceState(link("tree", tree), carry), { seed: source, signal })
          .catch(() => {});
      });
      // Who needs it hears of it.
      unsealed.catch(() => {});
      return true;
    },
    showsThrough: async () => (await onLive?.stirred()) ?? false,
    bring: async (workspace) => {
      await unsealed;
      const tree = target(workspace);
      await quiet(() => opened().bring("workspace", last!, tree));
      last = tree;
      if (lacking) lacking.was = tree;
    },
    close: async () => {
      preparing.abort();
      const inside = await sandbox?.catch(() => null);
      if (inside) await services.halt(inside.dispose);
      await prepared;
      // One that is still opening is waited for.
      // Without namespaces a process can outlive the sandbox, and its files must stay where they are.
      await (await opening?.catch(() => null))?.close({ inUse: sandbox !== null && !samePath });
    },
  };
}
