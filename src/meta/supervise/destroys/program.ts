/** What a program is known by that can destroy something. */
import type { Arg } from "../shell/expand.ts";
import type { Command, Stream } from "../shell/run.ts";
import type { Severity } from "./severity.ts";
import type { Meant, Place } from "./target.ts";

/** The methods give nothing, which is what a program prints as far as that is known. */
export interface Here extends Command {
  place: Place;
  note(severity: Severity, reason: string): null;
  /** Something happens to what an argument names. */
  path(to: Arg, meant: Meant): null;
  /** A file gets other contents. */
  write(to: Arg): null;
  /** Statements for a database. `scratch`: what becomes of it does not matter. */
  sql(text: string | null, scratch?: boolean): null;
  /** A program in a language that is no shell. */
  code(language: string, text: string | null): null;
}

/** Gives what it prints, where that is known. */
export type Program = (here: Here) => Stream | null | undefined;

export type Programs = { readonly [name: string]: Program };

export const WHOLE: Meant = { how: "delete", recursive: true };
export const FILE: Meant = { how: "delete", recursive: false };
export const EMPTIED: Meant = { how: "empty", recursive: false };

/** One program under several names. */
export const same = (names: string, program: Program): Programs =>
  Object.fromEntries(names.split(" ").map((name) => [name, program]));
