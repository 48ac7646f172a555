/** States of which something was forgotten: they are used without it, that is told, and the exit code says so unless `--partial` does. */
import { forgottenIn } from "../scope/forgotten.ts";
import { target } from "../trace/bytes.ts";
import type { State } from "../trace/ports.ts";
import { quotePath } from "../world/paths.ts";
import type { ExitCode } from "./errors.ts";
import type { Context, Flags, Option } from "./verb.ts";

export const PARTIAL: { partial: Option } = {
  partial: {
    type: "boolean",
    help: "exit as if nothing lacked although the state lacks files whose bytes were forgotten",
  },
};

/** Tells of what files that are worked on lack, and what that makes of an exit code. */
export function lacks({ out }: Pick<Context, "out">, flags: Flags): Lacks {
  const told = new Set<string>();
  return {
    tell: (text) => {
      if (!told.has(text)) out.warn(`shepherd: ${text}`);
      told.add(text);
    },
    code: (code) => (told.size > 0 && !flags.partial && code < 3 ? 3 : code),
  };
}

export interface Lacks {
  /** Takes a sentence about a file that was forgotten. */
  tell(text: string): void;
  code(code: ExitCode): ExitCode;
}

export async function tellForgotten(context: Context, flags: Flags, state: State): Promise<ExitCode | undefined> {
  const paths = await forgottenIn(await context.store(), target(state.roots.workspace));
  for (const path of paths)
    context.out.warn(`shepherd: ${quotePath(path) || "."} was forgotten, so the state lacks it.`);
  return paths.length > 0 && !flags.partial ? 3 : undefined;
}
