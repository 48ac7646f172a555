/** What the objects of file trees name: the table that lets gc, fsck and export follow them. */
import type { Link } from "../trace/ports.ts";
import { linksOfChunks } from "./content.ts";
import { linksOfMtimes } from "./mtimes.ts";
import { linksOfTree } from "./tree.ts";

/** For each kind of link to a part of a file tree, the links in an object of that kind. Each throws a sentence on bytes that are none. */
export const treeLinks: Record<"tree" | "mtimes" | "chunks", (bytes: Uint8Array) => Link[]> = {
  tree: linksOfTree,
  mtimes: linksOfMtimes,
  chunks: linksOfChunks,
};
