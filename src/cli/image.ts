/** The image that a run is to have for its root. */
import { statSync } from "node:fs";
import { posix, resolve } from "node:path";
import type { Task } from "../run/start.ts";
import { detect } from "../scope/exec/abilities.ts";
import { whyNot } from "../scope/exec/root.ts";
import { MOUNTED } from "../scope/exec/view.ts";
import { aboutOf, findImage } from "../scope/image.ts";
import { importImage } from "../scope/import.ts";
import type { RootGrant } from "../scope/registry.ts";
import { Exit } from "./errors.ts";
import { type Context, type Flags, text } from "./verb.ts";

/** What --root and --at ask for; null where they do not. Throws before anything is made, where it cannot be had. */
export async function rootAsked(context: Context, flags: Flags, task: Task): Promise<RootGrant | null> {
  const named = text(flags, "root");
  const at = text(flags, "at");
  if (named === undefined) {
    if (at !== undefined) throw new Exit(2, "--at says where an image shows this directory: it goes with --root.");
    return null;
  }
  if (flags.from) throw new Exit(2, "What goes on from a step has the image of its run: leave --root out.");
  if (task.worker === "plugin")
    throw new Exit(
      2,
      "Claude Code and Codex cannot work in an image yet: --root is for commands, and for the built-in agent.",
    );
  const place = at === undefined ? undefined : placeFor(at);
  const image = await imageNamed(context, named);
  const abilities = await detect();
  if (!abilities.helper)
    throw new Exit(
      4,
      `--root takes namespaces that Shepherd's helper makes, and there are none here. ${whyNot(abilities)}`,
    );
  const root = typeof image === "string" ? await rootIn(context, image) : image;
  if (place !== undefined) return { ...root, at: place };
  const { workdir } = await aboutOf(await context.store(), root);
  if (!workdir || posix.normalize(workdir) === "/") return root;
  context.out.warn(
    `shepherd: It starts in ${workdir}, as the image says; with --at ${workdir} this directory is seen there.`,
  );
  return { ...root, start: workdir };
}

/** An image of that name, or the path of a directory. */
async function imageNamed({ store, cwd }: Context, named: string): Promise<RootGrant | string> {
  const image = named.includes("/") ? null : await findImage(await store(), named);
  if (image) return image.root;
  const path = resolve(cwd, named);
  if (path === "/") throw new Exit(2, "--root / is the machine itself, which a run sees without --root: leave it out.");
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return path;
  throw new Exit(
    2,
    `There is no image ${JSON.stringify(named)}, and no directory: \`shepherd image import NAME SOURCE\` makes one, \`shepherd image list\` lists them.`,
  );
}

async function rootIn({ store, out, signal }: Context, path: string): Promise<RootGrant> {
  const progress = out.progress();
  const onProgress = (text: string): void => progress.at(text);
  const options = { most: Number.POSITIVE_INFINITY, signal, onProgress };
  return (await importImage(await store(), path, options).finally(() => progress.done())).root;
}

function placeFor(given: string): string {
  const at = posix.normalize(given).replace(/(.)\/+$/, "$1");
  const taken = MOUNTED.filter((each) => !/^\/(var\/)?tmp$/.test(each)).find((each) => `${at}/`.startsWith(`${each}/`));
  if (!at.startsWith("/") || at === "/" || taken || MOUNTED.includes(at))
    throw new Exit(2, `--at takes an absolute path in the image that is no place of the system's own, not ${given}.`);
  return at;
}
