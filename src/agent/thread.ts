/** Which conversation, or body, a scope is about. */
import { MAIN } from "../scope/thread.ts";

export const threadOf = (meta: { [key: string]: unknown }): string =>
  typeof meta.thread === "string" ? meta.thread : MAIN;
