/** Kinds of objects as bits of a byte: the same bytes can be a file here and a tree there. */
import type { LinkKind } from "../ports.ts";

/** In the order of their bits. A node of a conversation follows from the logs, and is never exported. */
const KINDS: readonly LinkKind[] = ["blob", "json", "tree", "mtimes", "chunks"];
export const ALL_KINDS = (1 << KINDS.length) - 1;

export const bitOf = (kind: LinkKind): number => 1 << KINDS.indexOf(kind);
export const kindsIn = (bits: number): LinkKind[] => KINDS.filter((kind) => (bits & bitOf(kind)) !== 0);
