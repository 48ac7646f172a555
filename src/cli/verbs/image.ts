/** `shepherd image`: root file systems that runs can have instead of the machine's. */
import { resolve } from "node:path";
import { aboutOf, checkImageName, type Image, listImages, nameImage, removeImage } from "../../scope/image.ts";
import { importImage } from "../../scope/import.ts";
import { parseSize } from "../../trace/quota.ts";
import { Exit } from "../errors.ts";
import { type Context, type Flags, text, type Verb } from "../verb.ts";
import { counted } from "../words.ts";

const USAGE = "`shepherd image` takes `list`, `import NAME SOURCE` or `remove NAME`.";
const MOST = "20GB";

export const verb: Verb = {
  brief: "root file systems for runs, without Docker",
  usage: "[list | import NAME SOURCE | remove NAME]",
  options: {
    tag: { type: "string", value: "TAG", help: "which image, where SOURCE has several" },
    "max-size": { type: "string", value: "SIZE", help: `what may come out of SOURCE (${MOST})` },
  },
  details:
    "`import` reads SOURCE and gives it a name for `shepherd run --root NAME`: a directory that is a root file system; a tar of one, also packed with gzip; " +
    "an OCI layout, as a directory or a tar; what `docker save` or `docker export` wrote. Digests are verified. A name that is taken leads to the new image; " +
    "runs keep the one that they began with. `remove` forgets a name.",
  examples: [
    "shepherd image import debian rootfs.tar.gz",
    "shepherd run --root debian -- cat /etc/os-release",
    "shepherd image list",
  ],
  run: async (context, flags, args) => {
    const [what = "list", name, source, ...more] = args;
    const isImport = what === "import" && name !== undefined && source !== undefined && more.length === 0;
    if (!isImport && (flags.tag !== undefined || flags["max-size"] !== undefined))
      throw new Exit(2, `--tag and --max-size are for \`import\`: ${USAGE}`);
    if (isImport) return bring(context, flags, name, source);
    if (what === "list" && name === undefined) return list(context);
    if (what === "remove" && name !== undefined && source === undefined) return remove(context, name);
    throw new Exit(2, USAGE);
  },
};

async function bring(context: Context, flags: Flags, name: string, source: string): Promise<undefined> {
  const { out, signal, cwd } = context;
  checkImageName(name);
  const most = parseSize(text(flags, "max-size") ?? MOST, "--max-size ");
  const store = await context.store();
  const progress = out.progress();
  const { root, files, leftOut, digest } = await importImage(store, resolve(cwd, source), {
    most,
    tag: text(flags, "tag"),
    signal,
    onProgress: (text) => progress.at(text),
  }).finally(() => progress.done());
  await nameImage(store, name, { files, root });
  out.object({ image: name, source: resolve(cwd, source), digest, files, leftOut });
  if (leftOut > 0)
    out.warn(
      `shepherd: ${counted(leftOut, "entry", "entries")} left out: devices, pipes, sockets, or what cannot be read.`,
    );
  out.say(
    `Imported ${name}: ${counted(files, "file", "files")}. \`shepherd run --root ${name} -- COMMAND\` runs in it.`,
  );
}

async function list(context: Context): Promise<undefined> {
  const store = await context.store();
  const images = await listImages(store);
  for (const image of images) await tell(context, image);
  if (images.length === 0) context.out.say("There is no image: `shepherd image import NAME SOURCE` makes one.");
}

async function tell({ out, store }: Context, { name, files, created, root }: Image): Promise<void> {
  const { source, digest = null, workdir = null } = await aboutOf(await store(), root);
  out.object({ image: name, source, digest, files, created, workdir });
  out.line(
    `${name.padEnd(16)} ${counted(files, "file", "files").padStart(14)}  ${source}${digest ? `  ${digest.slice(0, 19)}` : ""}`,
  );
}

async function remove({ out, store }: Context, name: string): Promise<undefined> {
  if (!(await removeImage(await store(), name)))
    throw new Exit(2, `There is no image ${JSON.stringify(name)}: \`shepherd image list\` lists them.`);
  out.object({ image: name, removed: true });
  out.say(`Removed ${name}. Runs that have it keep what they need; \`shepherd gc\` frees the rest.`);
}
