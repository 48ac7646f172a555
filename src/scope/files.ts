/**
 * The files and processes of a scope that is being driven: a directory of its own that commands see at the path of the user's, a /tmp of
 * its own, and the sandbox they run in. All of it is a cache: the store is the truth.
 */
import { existsSync, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { link, target } from "../trace/bytes.ts";
import { Forgotten } from "../trace/objects.ts";
import type { Carry, Hash, Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { storeGeneration } from "../trace/writers.ts";
import { type Capture, capture } from "../world/capture.ts";
import { type FileState, materialise, type Source } from "../world/materialise.ts";
import { Missing } from "../world/missing.ts";
import { quotePath } from "../world/paths.ts";
import { bytesIn, isKnown, knownIn, loadCache, type StatCache, saveCache } from "../world/statcache.ts";
import { openSandbox, type Sandbox } from "./exec/sandbox.ts";
import { SCRATCH_DIR, SECRETS } from "./exec/spec.ts";
import { markAtRest, markInUse, sayUsage, takeOver, workDirectory } from "./pool.ts";
import { type Grants, type ScopeRef, workspacePath } from "./registry.ts";

export interface Files {
  /** Whether commands see the workspace at its original path. Known once the sandbox is open. */
  readonly samePath: boolean;
  /** Where the workspace is for the scope's commands. */
  readonly path: string;
  /** Where it lies on the host. */
  readonly host: string;
  /** The namespace its commands run in, made at first use. */
  sandbox(): Promise<Sandbox>;
  /** The files as they are now, as content. */
  capture(): Promise<{ workspace: Link; carry: Carry }>;
  /** Whether a process that went on after its call has written since the last capture. */
  backgroundWrites(): Promise<boolean>;
  /** Ends the scope's processes and sets the files to a state. `seed`: a directory that holds the same files, to share blocks with. */
  restore(workspace: Link, carry: Carry, seed?: Source): Promise<void>;
  close(): Promise<void>;
}

export interface FilesOptions {
  log: string;
  /** Path of the user's directory. */
  workspace: string;
  grants: Grants;
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

/** Saves a stat cache if the disk takes it: without it the next capture only reads more. `known`: what the file holds already. */
export function keepCache(file: string, cache: StatCache, known?: ReturnType<typeof knownIn>): void {
  if (known && isKnown(cache, known)) return;
  try {
    saveCache(file, cache);
  } catch {
    // As if it had not been kept.
  }
}

/** Whether what lacks was destroyed on request, and is not lost by damage. */
export const isForgotten = (store: EmbeddedStore, id: Hash): Promise<boolean> =>
  store.objects.get(id).then(
    () => false,
    (error: unknown) => error instanceof Forgotten,
  );

/** The files of a scope whose lease the caller holds. What is in them is told by the next `restore`. */
export async function openFilesOf(
  store: EmbeddedStore,
  ref: ScopeRef,
  options: Omit<FilesOptions, "log" | "workspace">,
): Promise<Files> {
  await takeOver(store, ref);
  return openFiles(store, { log: ref.log, workspace: await workspacePath(store, ref.log), ...options });
}

export function openFiles(store: EmbeddedStore, options: FilesOptions): Files {
  const base = workDirectory(store, options.log);
  const host = `${base}/ws`;
  const tmp = `${base}/tmp`;
  mkdirSync(host, { recursive: true, mode: 0o700 });
  markInUse(base);
  const cacheFile = `${base}/ws.stat`;
  const cache = loadCache(cacheFile);
  let kept = knownIn(cache);
  const keep = (): void => {
    keepCache(cacheFile, cache, kept);
    kept = knownIn(cache);
  };
  const tmpCache = loadCache(`${base}/tmp.stat`);
  const scratch = [Buffer.from(`${tmp}/${SCRATCH_DIR}`)];
  let sandbox: Promise<Sandbox> | null = null;
  let samePath = true;
  let last: Hash | null = null;
  // This process is registered as a writer: until it ends nothing is collected that its caches name.
  const generation = storeGeneration(store);
  const pace = (what: string) => ({
    signal: options.signal,
    onProgress:
      options.onProgress && (({ files }: { files: number }) => options.onProgress!(`${what}: ${files} files`)),
  });

  const take = async (): Promise<{ workspace: Link; carry: Carry }> => {
    const captured: Capture = await capture(host, store.objects, {
      cache,
      generation,
      ...pace("reading the scope's files"),
      signal: undefined,
    });
    last = captured.tree;
    const carry: Carry = { mtimes: link("mtimes", captured.mtimes) };
    if (captured.vcs) carry.vcs = link("tree", captured.vcs);
    if (captured.vcsMtimes) carry.vcsMtimes = link("mtimes", captured.vcsMtimes);
    if (existsSync(tmp)) {
      const inTmp = await capture(tmp, store.objects, { cache: tmpCache, generation, exclude: scratch });
      carry.tmp = link("tree", inTmp.tree);
    }
    return { workspace: link("tree", captured.tree), carry };
  };

  const open = async (): Promise<Sandbox> => {
    const path = options.workspace;
    const opened = await openSandbox({
      binds: [{ from: host, to: path, mode: "rw" }],
      readOnly: options.grants.readOnly
        .map((each) => resolve(path, each))
        .filter((each) => existsSync(join(host, each.slice(path.length)))),
      writable: options.grants.writable,
      hide: [store.directory, ...SECRETS.map((each) => join(homedir(), each))],
      tmp,
      env: scopeEnv(),
      network: "host",
    });
    samePath = opened.abilities.samePath;
    return opened;
  };

  return {
    get samePath() {
      return samePath;
    },
    get path() {
      return samePath ? options.workspace : host;
    },
    host,
    sandbox: () => {
      sandbox ??= open();
      return sandbox;
    },
    capture: take,
    backgroundWrites: async () => {
      if (!sandbox || last === null) return false;
      if ((await (await sandbox).processes()).length === 0) return false;
      const before = last;
      return (await take()).workspace !== link("tree", before);
    },
    restore: async (workspace, carry, seed) => {
      if (sandbox) await (await sandbox).killAll();
      const state: FileState = {
        tree: target(workspace),
        mtimes: carry.mtimes ? target(carry.mtimes) : null,
        vcs: carry.vcs ? target(carry.vcs) : null,
        vcsMtimes: carry.vcsMtimes ? target(carry.vcsMtimes) : null,
      };
      const { missing } = await materialise(host, state, store.objects, {
        cache,
        generation,
        from: seed,
        partial: true,
        ...pace("preparing the scope's files"),
      });
      for (const { path, id } of missing) {
        if (!(await isForgotten(store, id))) throw new Missing(id, "content", path);
        options.onForgotten?.(`${quotePath(path)} was forgotten, so the files of the run are without it.`);
      }
      if (carry.tmp)
        await materialise(tmp, { tree: target(carry.tmp) }, store.objects, {
          cache: tmpCache,
          generation,
          exclude: scratch,
          partial: true,
        });
      last = state.tree;
      keep();
    },
    close: async () => {
      await (await sandbox?.catch(() => null))?.dispose();
      keep();
      keepCache(`${base}/tmp.stat`, tmpCache);
      sayUsage(base, bytesIn(cache) + bytesIn(tmpCache));
      // Without namespaces a process can outlive the sandbox, and its files must stay where they are.
      if (!sandbox || samePath) markAtRest(base);
    },
  };
}
