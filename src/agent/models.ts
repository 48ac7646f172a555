/** Model ports by name. */
import { ModelError, type ModelPort } from "./model.ts";
import { scriptPort } from "./script.ts";

/** The port that a name such as `script:FILE` stands for. Throws a `ModelError` for a name that is none, or a script that is broken. */
export function openModel(name: string): ModelPort {
  const file = /^script:(.+)$/s.exec(name)?.[1];
  if (file !== undefined) return scriptPort(file);
  throw new ModelError(`There is no model ${JSON.stringify(name)}: use script:FILE.`, false);
}
