/** States of which something was forgotten: they are used without it, that is told, and the exit code says so unless `--partial` does. */
import { forgottenIn } from "../scope/forgotten.ts";
import { target } from "../trace/bytes.ts";
import type { State } from "../trace/ports.ts";
import { quotePath } from "../world/paths.ts";
import type { ExitCode } from "./errors.ts";
import type { Context, Flags, Option } from "./verb.ts";

export const PARTIAL: { partial: Option } = {
  partial: { type: "boolean", help: "exit with 0 although the state lacks files whose bytes were forgotten" },
};

export async function tellForgotten(context: Context, flags: Flags, state: State): Promise<ExitCode | undefined> {
  const paths = await forgottenIn(await context.store(), target(state.roots.workspace));
  for (const path of paths)
    context.out.warn(`shepherd: ${quotePath(path) || "."} was forgotten, so the state lacks it.`);
  return paths.length > 0 && !flags.partial ? 3 : undefined;
}
