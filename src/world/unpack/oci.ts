/**
 * Images as layers in a directory: an OCI layout, or what `docker save` writes. Each object is found by its digest, or verified against the digests that
 * the configuration names, and nothing is taken from outside of the directory.
 */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { findIn } from "../rooted.ts";
import { type Allowance, readArchive } from "./archive.ts";
import { startUnpacking, type Unpacked } from "./layer.ts";
import { TarError } from "./tar.ts";

/** What the configuration of an image says of its commands. */
export interface Config {
  digest: string;
  env: string[];
  workdir: string | null;
}

export type Kind = "rootfs" | "oci" | "docker";

/** What a directory is. */
export function kindOf(directory: string): Kind {
  const has = (name: string): boolean =>
    fs.lstatSync(join(directory, name), { throwIfNoEntry: false })?.isFile() ?? false;
  if (has("oci-layout") && has("index.json")) return "oci";
  return has("manifest.json") && !fs.existsSync(join(directory, "etc")) ? "docker" : "rootfs";
}

const MOST_JSON = 8 << 20;
const MOST_LAYERS = 500;
const MACHINES: { [arch: string]: string } = { x64: "amd64", arm64: "arm64" };
const TAG = "org.opencontainers.image.ref.name";

interface Descriptor {
  mediaType?: string;
  digest: string;
  annotations?: { [name: string]: string };
  platform?: { os?: string; architecture?: string };
}

/** The layers of an image, lowest first, as files; with digests of what they are packed as, if that is known, and of what comes out. */
interface Layers {
  config: Config;
  layers: { file: string; packed: string | null; plain: string }[];
}

/** Unpacks the image in a layout or an archive's directory. @param tag which, where there are several */
export async function unpackImage(
  directory: string,
  kind: "oci" | "docker",
  root: string,
  tag: string | undefined,
  allowance: Allowance,
): Promise<{ config: Config; unpacked: Unpacked }> {
  const { config, layers } = kind === "oci" ? fromLayout(directory, tag) : fromArchive(directory, tag);
  if (layers.length > MOST_LAYERS) wrong(`it has more than ${MOST_LAYERS} layers`);
  const unpacking = startUnpacking(root);
  for (const { file, packed, plain } of layers) {
    const fd = open(directory, file);
    try {
      const archive = readArchive(fd, file, allowance);
      await unpacking.add(archive.pieces, { whiteouts: true });
      const is = archive.digests();
      if ((packed !== null && is.packed !== packed) || is.plain !== plain)
        wrong(`the layer ${file} is damaged: its digest is another one`);
    } finally {
      fs.closeSync(fd);
    }
  }
  return { config, unpacked: unpacking.finish() };
}

function fromLayout(directory: string, tag: string | undefined): Layers {
  const top = list<Descriptor>(
    (json(read(directory, "index.json")) as { manifests?: unknown }).manifests,
    "index.json",
  );
  const manifest = json(readObject(directory, chosen(directory, top, tag))) as {
    config?: Descriptor;
    layers?: unknown;
  };
  const layers = list<Descriptor>(manifest.layers, "its manifest");
  const digest = digestOf(manifest.config);
  const { config, plain } = configOf(readObject(directory, digest), digest);
  if (plain.length !== layers.length) wrong("its configuration names other layers than its manifest");
  return {
    config,
    layers: layers.map((layer, i) => ({ file: pathOf(digestOf(layer)), packed: digestOf(layer), plain: plain[i]! })),
  };
}

/** The digest of the one manifest that is meant: of the tag, and for this machine. */
function chosen(directory: string, top: readonly Descriptor[], tag: string | undefined): string {
  const named = top.filter((each) => tag === undefined || each.annotations?.[TAG] === tag || inName(each, tag));
  const tags = top.map(({ annotations }) => annotations?.[TAG]).filter((each) => each !== undefined);
  if (named.length === 0 && tag !== undefined) wrong(`it has no ${JSON.stringify(tag)}${told(tags)}`);
  let left = named;
  for (let depth = 0; depth < 4; depth++) {
    if (left.length > 1) {
      const fitting = left.filter(({ platform }) => fits(platform));
      if (fitting.length === 0 && left.some(({ platform }) => platform)) wrong(`it has none for ${machine()}`);
      if (fitting.length > 0) left = fitting;
    }
    const digests = new Set(left.map(digestOf));
    if (digests.size > 1) wrong(`it has several images: say which with --tag${told(tags)}`);
    if (digests.size === 0) wrong("there is no image in it");
    const digest = [...digests][0]!;
    const object = json(readObject(directory, digest)) as { manifests?: unknown };
    if (object.manifests === undefined) return digest;
    left = list<Descriptor>(object.manifests, "an index in it");
  }
  return wrong("its indexes lead nowhere");
}

/** As containerd and Docker name the image besides. */
const inName = ({ annotations }: Descriptor, tag: string): boolean =>
  annotations?.["io.containerd.image.name"]?.replace(/^docker\.io\/(library\/)?/, "") === tag;
const told = (tags: readonly string[]): string => (tags.length > 0 ? ` (${tags.slice(0, 20).join(", ")})` : "");
const machine = (): string => `linux/${MACHINES[process.arch] ?? process.arch}`;
const fits = (platform: Descriptor["platform"]): boolean => `${platform?.os}/${platform?.architecture}` === machine();

function fromArchive(directory: string, tag: string | undefined): Layers {
  const all = list<{ Config?: unknown; RepoTags?: unknown; Layers?: unknown }>(
    json(read(directory, "manifest.json")),
    "manifest.json",
  );
  const tagsOf = (each: { RepoTags?: unknown }): string[] =>
    Array.isArray(each.RepoTags) ? each.RepoTags.map(String) : [];
  const named = all.filter((each) => tag === undefined || tagsOf(each).includes(tag));
  const tags = all.flatMap(tagsOf);
  if (named.length === 0)
    wrong(tag === undefined ? "there is no image in it" : `it has no ${JSON.stringify(tag)}${told(tags)}`);
  if (named.length > 1) wrong(`it has several images: say which with --tag${told(tags)}`);
  const { Config: file, Layers: layers } = named[0]!;
  if (typeof file !== "string") wrong("its manifest names no configuration");
  const bytes = read(directory, file as string);
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  if (!(file as string).includes(digest.slice("sha256:".length)))
    wrong("its configuration is damaged: its digest is another one");
  const { config, plain } = configOf(bytes, digest);
  const files = list<unknown>(layers, "its manifest").map((each) =>
    typeof each === "string" ? each : wrong("a layer is none"),
  );
  if (plain.length !== files.length) wrong("its configuration names other layers than its manifest");
  return { config, layers: files.map((file, i) => ({ file, packed: null, plain: plain[i]! })) };
}

function configOf(bytes: Buffer, digest: string): { config: Config; plain: string[] } {
  const { config, rootfs } = json(bytes) as {
    config?: { Env?: unknown; WorkingDir?: unknown } | null;
    rootfs?: { diff_ids?: unknown };
  };
  const plain = list<unknown>(rootfs?.diff_ids, "its configuration").map((each) =>
    digestOf({ digest: each as string }),
  );
  const env = config?.Env ?? [];
  if (
    !Array.isArray(env) ||
    !env.every((each) => typeof each === "string" && !each.includes("\0") && each.includes("="))
  )
    wrong("the variables of its configuration are none");
  const { WorkingDir: workdir } = config ?? {};
  return {
    config: {
      digest,
      env: env as string[],
      workdir: typeof workdir === "string" && workdir.startsWith("/") ? workdir : null,
    },
    plain,
  };
}

function digestOf(descriptor: Descriptor | undefined): string {
  const digest = descriptor?.digest;
  return typeof digest === "string" && /^sha256:[0-9a-f]{64}$/.test(digest)
    ? digest
    : wrong(`${JSON.stringify(digest ?? null)} is no digest that can be verified`);
}

const pathOf = (digest: string): string => `blobs/sha256/${digest.slice("sha256:".length)}`;

function readObject(directory: string, digest: string): Buffer {
  const bytes = read(directory, pathOf(digest));
  if (`sha256:${createHash("sha256").update(bytes).digest("hex")}` !== digest)
    wrong(`${pathOf(digest)} is damaged: its digest is another one`);
  return bytes;
}

function read(directory: string, file: string): Buffer {
  const fd = open(directory, file);
  try {
    if (fs.fstatSync(fd).size > MOST_JSON) wrong(`${file} is larger than 8 MiB`);
    return fs.readFileSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** A file in the directory, through links that stay in it: `docker save` has made such. */
function open(directory: string, file: string): number {
  const path = findIn(directory, file);
  if (!path || !fs.lstatSync(path).isFile()) return wrong(`it lacks ${file}`);
  return fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK);
}

function json(bytes: Buffer): object {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // told below
  }
  return wrong("something in it that is to be JSON is none");
}

const list = <T>(value: unknown, where: string): T[] =>
  Array.isArray(value) && value.every((each) => each !== null)
    ? (value as T[])
    : wrong(`${where} has no list where one belongs`);

function wrong(why: string): never {
  throw new TarError(`This is no image that can be read: ${why}.`);
}
