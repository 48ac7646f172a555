import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Limits } from "../limits.ts";

/** One directory or file of the host, seen at a path of its own in the sandbox. */
export interface Bind {
  /** Path on the host. */
  from: string;
  /** Absolute path seen inside. It must exist on the host too, unless it lies in /tmp, in another bind or in something hidden. */
  to: string;
  mode: "rw" | "ro";
}

/**
 * What the commands of a scope see. Everything that is not named here is the host's root, read-only.
 * Paths are absolute. Where two entries name nested paths, the deeper one wins for what lies below it.
 */
export interface SandboxSpec {
  /** The first one is where commands start, unless `home` is another. */
  binds: readonly Bind[];
  /** Paths inside that cannot be written, though they lie in something that can. Each must exist and be no symbolic link. */
  readOnly?: readonly string[];
  /** Paths of the host that stay writable where they are. */
  writable?: readonly string[];
  /** Paths of the host that are seen empty (the store, other scopes, keys). Those that do not exist are passed over. */
  hide?: readonly string[];
  /**
   * Directory of the host that is all that is seen instead of the host, and can be written: an image. It takes our helper. Of the host there is then what
   * is named here, and what `FROM_HOST` of view.ts names; caches in HOME are the image's own.
   */
  root?: string | undefined;
  /** Where commands start; where the first bind is seen without it. */
  home?: string | undefined;
  /** Directory of the host that is seen as /tmp and /var/tmp; made if it does not exist. */
  tmp: string;
  /** The whole environment of commands; HOME in it says which caches become scratch (see `SCRATCH`). */
  env: Readonly<Record<string, string>>;
  /**
   * `host`: that of the host. A port: a network of its own, in which there is nothing but what listens on 127.0.0.1, and on this port this
   * process (`Sandbox.listener`). Where the host has no namespaces it is always the host's.
   */
  network: "host" | { port: number };
  /** What its processes may use; all that there is without it. */
  limits?: Limits | undefined;
  /** Directory of the host in which all lies that a limit of the disk is about. */
  files?: string;
  /** Names what commands work for, so that without namespaces `endLeftOver` finds them. */
  scope?: string;
}

/**
 * Caches below $HOME that tools must be able to write. In a sandbox each is an empty directory of the scope's own, kept in
 * `SCRATCH_DIR` of its /tmp: mounted in place where the host has the directory, and named by the variable where it has not.
 */
export const SCRATCH: ReadonlyArray<{ path: string; variable?: string }> = [
  { path: ".cache", variable: "XDG_CACHE_HOME" },
  { path: ".npm", variable: "npm_config_cache" },
  { path: ".node-gyp", variable: "npm_config_devdir" },
  { path: ".yarn/berry/cache", variable: "YARN_CACHE_FOLDER" },
  { path: ".bun/install/cache", variable: "BUN_INSTALL_CACHE_DIR" },
  { path: "go/pkg/mod", variable: "GOMODCACHE" },
  { path: ".cargo/registry" },
  { path: ".cargo/git" },
  { path: ".gradle", variable: "GRADLE_USER_HOME" },
  { path: ".m2/repository" },
  { path: ".nuget/packages", variable: "NUGET_PACKAGES" },
];

/** Name of the directory in the scope's /tmp that holds the scratch caches: nothing that a state would need. */
export const SCRATCH_DIR = ".shepherd-cache";

/** Where keys and passwords usually lie below a home directory: for `hide`. */
export const SECRETS: readonly string[] = [
  ".ssh",
  ".gnupg",
  ".aws",
  ".azure",
  ".config/gcloud",
  ".config/gh",
  ".config/op",
  ".kube",
  ".docker/config.json",
  ".netrc",
  ".Xauthority",
  ".ICEauthority",
  ".git-credentials",
  ".1password",
  ".vault-token",
  ".terraform.d/credentials.tfrc.json",
  ".cargo/credentials",
  ".cargo/credentials.toml",
  ".gem/credentials",
  ".config/containers/auth.json",
  ".config/rclone",
  ".databrickscfg",
  ".s3cfg",
  ".boto",
  ".config/git/credentials",
  ".pypirc",
  ".pgpass",
  ".password-store",
  ".local/share/keyrings",
  ".mozilla",
  ".config/google-chrome",
  ".config/chromium",
  ".claude/.credentials.json",
  ".codex/auth.json",
];

/** Where services listen that start programs or change the machine for whoever asks, outside of any sandbox, or hold the user's keys: for `hide`. */
export const SERVICES: readonly string[] = [
  "/run/user",
  "/run/dbus",
  "/run/systemd/private",
  "/run/systemd/io.systemd.Manager",
  "/run/udev/control",
  "/run/initctl",
  "/run/systemd/initctl",
];

/** Where control sockets lie that have no room in the store: for `hide`, since who can open one can do what its owner can. */
export const socketFolder = (): string =>
  join(process.env.XDG_RUNTIME_DIR ?? tmpdir(), `shepherd-${process.getuid?.() ?? -1}`);
