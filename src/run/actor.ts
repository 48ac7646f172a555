/** Who does something to a run, by which right, and why: it stands beside what is written down of it. */
import { putBytes } from "../scope/thread.ts";
import type { Json } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";

export interface Actor {
  /** Who it is: a user, a program, or the run of an agent. */
  readonly who: string;
  /** What its holder must have been given; the user of the store needs none. */
  readonly right?: string;
  /** In its own words. */
  readonly why?: string;
}

type Members = { [key: string]: Json };

/** As members of a request, which may cross a socket. */
export const asParams = ({ who, right, why }: Actor): Members => ({
  by: who,
  ...(right !== undefined && { right }),
  ...(why !== undefined && { why }),
});

/** More than this is not written down of a name, in characters, and of a reason. */
const LONGEST_NAME = 200;
const LONGEST_REASON = 4000;

const cut = (text: string, most: number): string => text.slice(0, most).toWellFormed();

/** What stands beside a step or a note, of the members of a request. A reason may hold anything, so it is a blob. */
export async function witnessBy(store: EmbeddedStore, { by, right, why }: Members): Promise<Members> {
  const said = typeof why === "string" && why.trim() !== "" ? why : null;
  return {
    ...(by !== undefined && { by: cut(String(by), LONGEST_NAME) }),
    ...(typeof right === "string" && { right: cut(right, LONGEST_NAME) }),
    ...(said !== null && { why: await putBytes(store, Buffer.from(cut(said, LONGEST_REASON))) }),
  };
}
