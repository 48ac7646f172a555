/** Images: root file systems that commands of a scope see instead of the host, by names that the user gives them. */
import { link } from "../trace/bytes.ts";
import type { Carry } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { homeIn } from "../world/rooted.ts";
import type { Ids } from "../world/statcache.ts";
import type { RootGrant } from "./registry.ts";
import { getBytes, putBytes } from "./thread.ts";

/** What an image says of itself besides its files. */
export interface About {
  v: 1;
  /** What it was made of, as the user named it. */
  source: string;
  /** Of its manifest or configuration, where it has one. */
  digest?: string;
  /** Variables of its commands, as `NAME=VALUE`. */
  env: string[];
  /** The directory in which its commands start. */
  workdir?: string;
}

export interface Image {
  name: string;
  /** ms since 1970. */
  created: number;
  files: number;
  root: RootGrant;
}

/** Thrown with a sentence for an image that is not there, or a name that none has. */
export class ImageError extends Error {}

const REF = "image/";
const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;

export function checkImageName(name: string): string {
  if (!NAME.test(name))
    throw new ImageError(
      `${JSON.stringify(name)} is no name for an image: use lower-case letters, digits, ., - and _, at most 64.`,
    );
  return name;
}

type Value = Omit<Image, "name">;

const parse = (name: string, value: string): Image => ({ name, ...(JSON.parse(value) as Value) });

export const isImageName = (word: string): boolean => NAME.test(word);

export async function findImage(store: EmbeddedStore, name: string): Promise<Image | null> {
  const ref = isImageName(name) ? await store.refs.get(REF + name) : null;
  return ref && parse(name, ref.value);
}

export const listImages = async (store: EmbeddedStore): Promise<Image[]> =>
  (await store.refs.list(REF)).map((ref) => parse(ref.name.slice(REF.length), ref.value));

/** Runs that have it keep what they need of it. False where there is none of that name. */
export async function removeImage(store: EmbeddedStore, name: string): Promise<boolean> {
  const ref = isImageName(name) ? await store.refs.get(REF + name) : null;
  return ref !== null && (await store.refs.cas(REF + name, ref.version, null));
}

/** Names what was captured. Whatever had the name before has it no more. */
export async function nameImage(store: EmbeddedStore, name: string, value: Omit<Value, "created">): Promise<Image> {
  await store.objects.sync();
  for (;;) {
    const ref = await store.refs.get(REF + name);
    const image: Value = { ...value, created: Date.now() };
    if (await store.refs.cas(REF + name, ref?.version ?? 0, JSON.stringify(image))) return { name, ...image };
  }
}

/** Links to what was captured. */
export const linksOf = ({ tree, mtimes, vcs, vcsMtimes }: Ids): Omit<RootGrant, "about"> => ({
  tree: link("tree", tree),
  mtimes: link("mtimes", mtimes),
  ...(vcs && { vcs: link("tree", vcs) }),
  ...(vcsMtimes && { vcsMtimes: link("mtimes", vcsMtimes) }),
});

/** The root that files are, as captured, with what is said of them. */
export const rootOf = async (store: EmbeddedStore, ids: Ids, about: About): Promise<RootGrant> => ({
  ...linksOf(ids),
  // As bytes: what it says comes from outside, and must not be read as links.
  about: await putBytes(store, Buffer.from(JSON.stringify(about))),
});

export const aboutOf = async (store: EmbeddedStore, { about }: RootGrant): Promise<About> =>
  JSON.parse((await getBytes(store, about)).toString()) as About;

/** Whether files of an image keep their owners: others than root have but their own. */
export const carriesOwners = (): boolean => process.geteuid?.() === 0;

/** What the first frame of a scope carries of its image. */
export const carryOfImage = ({ tree, mtimes, vcs, vcsMtimes }: Omit<RootGrant, "about">): Carry => ({
  root: tree,
  rootMtimes: mtimes,
  ...(vcs && { rootVcs: vcs }),
  ...(vcsMtimes && { rootVcsMtimes: vcsMtimes }),
});

/** Of the user's own variables those that say something of the terminal, and nothing of the machine. */
const TERMINAL = ["TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "CI", "TZ"];
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The variables of commands in an image, whose files lie at `root`: its own, as in a container. */
export async function imageEnv(
  store: EmbeddedStore,
  grant: RootGrant,
  root: string,
): Promise<{ [name: string]: string }> {
  const own = (await aboutOf(store, grant)).env.map((each) => {
    const at = each.indexOf("=");
    return [each.slice(0, at), each.slice(at + 1)] as const;
  });
  const uid = process.getuid?.() ?? 0;
  return {
    PATH,
    HOME: homeIn(root, uid) ?? (uid === 0 ? "/root" : "/"),
    ...Object.fromEntries(TERMINAL.flatMap((name) => (process.env[name] ? [[name, process.env[name]!]] : []))),
    ...Object.fromEntries(own.filter(([name]) => name !== "" && !name.startsWith("SHEPHERD_"))),
  };
}
