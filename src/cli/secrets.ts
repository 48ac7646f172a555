/** What of a run looks like a secret, for who is about to give it away: nothing can be masked in what is named by its hash. */

import { hasKey, masked } from "../meta/mask.ts";
import { readLog } from "../scope/view.ts";
import { bitOf } from "../trace/bundle/kinds.ts";
import type { NamedLog } from "../trace/bundle/write.ts";
import { target } from "../trace/bytes.ts";
import type { Hash, Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { quotePath } from "../world/paths.ts";
import { decodeTree, readTree } from "../world/tree.ts";
import { Exit } from "./errors.ts";
import type { Flags } from "./verb.ts";
import { counted, named } from "./words.ts";

export interface Secrets {
  /** Files of some state, as `diff` writes their paths. */
  files: string[];
  /** Other objects: of conversations, outputs, what is carried beside the files. */
  elsewhere: number;
}

export interface SecretSearch {
  /** Is shown each object. */
  see(id: Hash, kinds: number, bytes: Uint8Array): void;
  /** What was found. `trees`: the states in which the files are looked for, the one first whose paths count. */
  result(trees: Iterable<Link>): Promise<Secrets>;
}

/** Files that are made to hold secrets. */
const KEPT_IN =
  /^(\.env(\..+)?|\.npmrc|\.netrc|\.pypirc|\.git-credentials|credentials(\..+)?|secrets?\..+|\.htpasswd)$/;
/** Such files that come with a project, as an example of one. */
const EXAMPLE = /\.(example|sample|template|dist|md)$/;

const TREE = bitOf("tree");
const TEXT = bitOf("blob") | bitOf("json");

export function searchSecrets(store: Pick<EmbeddedStore, "objects">): SecretSearch {
  const found = new Set<Hash>();
  const suspects = new Set<Hash>();
  return {
    see: (id, kinds, bytes) => {
      if ((kinds & TEXT) !== 0 && hasKey(textOf(bytes))) found.add(id);
      const tree = (kinds & TREE) === 0 ? null : decodeTree(bytes);
      for (const { type, name, id: content } of tree && "entries" in tree ? tree.entries : [])
        if (type === "f" && KEPT_IN.test(name.toString()) && !EXAMPLE.test(name.toString())) suspects.add(content);
    },
    result: async (trees) => {
      for (const id of suspects) {
        const bytes = await store.objects.get(id).catch(() => null);
        const text = textOf(bytes ?? Buffer.alloc(0));
        if (masked(text) !== text) found.add(id);
      }
      const files = found.size === 0 ? new Map<Hash, string>() : await pathsOf(store, trees, found);
      return { files: [...new Set(files.values())].sort(), elsewhere: found.size - files.size };
    },
  };
}

/** As Latin-1, since keys are ASCII; of what is no text, nothing. */
function textOf(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return buffer.subarray(0, 8192).includes(0) ? "" : buffer.toString("latin1");
}

/** A path at which each of `wanted` is a file; not all need be one. */
async function pathsOf(
  { objects }: Pick<EmbeddedStore, "objects">,
  trees: Iterable<Link>,
  wanted: ReadonlySet<Hash>,
): Promise<Map<Hash, string>> {
  const paths = new Map<Hash, string>();
  const seen = new Set<Hash>();
  const look = async (id: Hash, at: Buffer): Promise<void> => {
    if (seen.has(id)) return;
    seen.add(id);
    const tree = await readTree(objects, id).catch(() => null);
    for (const { type, name, id: below } of tree?.entries ?? []) {
      const path = at.length > 0 ? Buffer.concat([at, Buffer.from("/"), name]) : name;
      if (type === "d") await look(below, path);
      else if (wanted.has(below) && !paths.has(below)) paths.set(below, quotePath(path));
    }
  };
  for (const tree of trees) await look(target(tree), Buffer.alloc(0));
  return paths;
}

/** The states of the scopes, the newest of each first. */
export async function treesOf(store: EmbeddedStore, scopes: readonly NamedLog[]): Promise<Link[]> {
  const trees: Link[] = [];
  for (const { log } of scopes)
    for (const { sealed } of (await readLog(store, log)).fold.sealed.toReversed())
      trees.push(sealed!.state.roots.workspace);
  return trees;
}

/** Throws `Exit` where something looks like a secret, and the user has not said that it may be given away. */
export function checkSecrets(run: string, secrets: Secrets, flags: Flags): void {
  if (!anySecrets(secrets) || flags["with-secrets"]) return;
  throw new Exit(
    3,
    `${run} has what looks like secrets: ${secretWords(secrets)}. Destroy them (\`shepherd forget\`), or add --with-secrets.`,
  );
}

export const anySecrets = ({ files, elsewhere }: Secrets): boolean => files.length > 0 || elsewhere > 0;

/** Where they are, in words. */
export function secretWords({ files, elsewhere }: Secrets): string {
  const other = elsewhere > 0 ? `${counted(elsewhere, "object")} of its conversations, outputs or repositories` : "";
  return [files.length > 0 ? named(files, 8) : "", other].filter(Boolean).join(", and ");
}
