/**
 * Landing while the run goes on (`--land live`): what the user changed comes into the scope before each call, and what a step changed lands
 * behind it. Files that run code later wait for the end. Where both changed the same place the user's directory stays as it is, the agent is
 * told, and nothing lands by itself any more.
 */
import type { Handler } from "../scope/effect.ts";
import type { LiveScope } from "../scope/scope.ts";
import type { Hash } from "../trace/ports.ts";
import { serial } from "../trace/serial.ts";
import { quotePath } from "../world/paths.ts";
import { incoming } from "./incoming.ts";
import { landRun } from "./land.ts";

export interface Live {
  /** Stands first among the scope's handlers: a call waits until what the user changed is there. */
  handler: Handler;
  /** What the agent is to be told before it is asked again. */
  inbox(): string[];
  /** Resolves when all that was to land has. Whether it went on to the end. */
  end(): Promise<boolean>;
  /** Lands nothing more; resolves when nothing lands any more. */
  close(): Promise<void>;
}

export interface LiveOptions {
  /** Called once, with a sentence, if nothing lands any more. */
  onStop: (why: string) => void;
}

export function landLive(scope: LiveScope, directory: string, { onStop }: LiveOptions): Live {
  const { store, ref, writer } = scope;
  const said: string[] = [];
  let stopped = false;
  let landed: Hash | null = null;
  const inOrder = serial();

  const stop = (why: string): void => {
    stopped = true;
    onStop(why);
  };
  const conflict = (paths: ReadonlyArray<{ path: Buffer }>): void => {
    const names = paths.map(({ path }) => quotePath(path)).join(", ");
    said.push(
      `The user changed the same places as you in ${names}. Their directory keeps their version, and yours stays here. From now on nothing of yours reaches it until the user decides.`,
    );
    stop(`you and ${ref.name} changed the same places in ${names}; yours stay, and nothing lands by itself any more`);
  };
  const main = incoming(scope, directory, conflict);
  const queue = (work: () => Promise<void>): Promise<void> =>
    inOrder(async () => {
      if (stopped) return;
      await work().catch((error: Error) =>
        stop(`nothing lands by itself any more: ${error.message.replace(/\.$/, "")}`),
      );
    });

  const land = async (): Promise<void> => {
    const { state } = scope.head();
    if (!state || landed === state.roots.workspace) return;
    landed = state.roots.workspace;
    const done = await landRun(store, ref.name, { onlyIfFree: true, partly: true });
    if (done.status === "conflict") return conflict(done.conflicts);
    // What the look found that the landing began with is still to come into the scope.
    if (done.main.before === main.seen) main.seen = done.main.after;
  };

  const unwatch = writer.watch((_frame, sealed) => {
    if (sealed.some(({ outcome }) => outcome?.workspace || outcome?.state)) void queue(land);
  });
  return {
    handler: {
      name: "live",
      handle: async ({ kind }) => {
        // Of calls beside each other the first brings it.
        if (kind !== "model") await queue(main.bring);
        return { kind: "forward" };
      },
    },
    inbox: () => said.splice(0),
    end: async () => {
      await queue(land);
      unwatch();
      return !stopped;
    },
    close: async () => {
      unwatch();
      stopped = true;
      await queue(async () => {});
    },
  };
}
