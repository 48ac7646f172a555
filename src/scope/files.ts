/** The files and processes of a scope that is being driven: what the world gives it, and the sandbox its commands run in. */
import type { Carry, Link } from "../trace/ports.ts";
import type { Sandbox } from "./exec/sandbox.ts";

export interface Files {
  /** Whether commands see the workspace at its original path. */
  readonly samePath: boolean;
  /** Where the workspace is for the scope's commands. */
  readonly path: string;
  /** Where it lies on the host. */
  readonly host: string;
  /** The namespace its commands run in, made at first use. */
  sandbox(): Promise<Sandbox>;
  /** The files as they are now, as content. */
  capture(): Promise<{ workspace: Link; carry: Carry }>;
  /** Whether anything was written since the last capture: by a process that went on after its call. */
  backgroundWrites(): Promise<boolean>;
  /** Ends the scope's processes and sets the files to a state. */
  restore(workspace: Link, carry: Carry): Promise<void>;
  close(): Promise<void>;
}
