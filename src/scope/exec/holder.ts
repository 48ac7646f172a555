/** The process that keeps the namespaces of one sandbox: number 1 in them. They die with it, and it dies with us. */
import type { Server } from "node:net";
import type { Run } from "./helper.ts";
import { holdWithHelper } from "./holder-helper.ts";
import { holdWithTools } from "./holder-tools.ts";
import type { SandboxSpec } from "./spec.ts";
import type { Tools } from "./tools.ts";
import type { Piece } from "./view.ts";

/** How namespaces are made: as root, or in a user namespace that maps the user to itself; by our own helper, or by programs of the host. */
export type Method = { how: "root" | "userns" } & (
  | { helper: string }
  /** `single`: one mount(8) for each mount, for hosts whose mount cannot take a list. */
  | { single: boolean; tools: Tools }
);

export interface Entering {
  /** Whether the program leads a session of its own. */
  session: boolean;
  /** Whether Landlock holds what it may write to, where there is Landlock: see `Command.alone`. */
  wall?: boolean;
}

export interface Holder {
  /** Its number on the host, and the link of the pid namespace in which it is number 1. */
  readonly pid: number | undefined;
  readonly namespace: string;
  alive(): boolean;
  /** What listens on the port of its network; null where that is the host's. */
  readonly listener: Server | null;
  /** Starts a program inside without what `enter` takes; null where that cannot be. */
  readonly run: ((...how: [...Parameters<Run>, wall?: boolean]) => ReturnType<Run>) | null;
  /** Arguments that start a program inside; the program must be an absolute path. */
  enter(options?: Entering): string[];
  /** Arguments that kill all that runs inside, but for process 1; null where only a script inside can. */
  killing(): string[] | null;
  /** Arguments that start a program of the host in the network of the sandbox, and in nothing else of it; null where that is the host's. */
  enterNetwork(): string[] | null;
  /** Whether what `enter` gives starts by itself what descriptor 3 says (see native/enter.c). */
  readonly launches: boolean;
  /** Works while nothing but commands changes files in there, which see none of what is done so that they can rename directories of layers. */
  quiet<T>(work: () => Promise<T>): Promise<T>;
  /** Ends everything inside; resolves when nothing of it is left. */
  end(): Promise<void>;
  /** Gives the namespaces up: only when nothing that was told to `enter` can still be on its way. */
  release(): void;
}

/** Whether the kernel's settings, and everybody's files, are this user's to write. */
export const isRoot = (): boolean => process.getuid?.() === 0;

/** What the kernel says of a process that is gone, as a sentence. */
export const endedEarly = (error: unknown): unknown =>
  ["EINVAL", "ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")
    ? new Error("The sandbox ended while it was made; try again.")
    : error;

/** Starts the holder of a sandbox and waits until all is mounted. Throws with the reason if the host does not allow it. */
export const startHolder = (
  pieces: readonly Piece[],
  method: Method,
  network: SandboxSpec["network"] = "host",
): Promise<Holder> =>
  "helper" in method ? holdWithHelper(pieces, method, network) : holdWithTools(pieces, method, network);
