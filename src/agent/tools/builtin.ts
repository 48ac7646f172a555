/** The tools of the built-in agent. */
import { bash } from "./bash.ts";
import { edit } from "./edit.ts";
import { glob } from "./glob.ts";
import { grep } from "./grep.ts";
import { read } from "./read.ts";
import type { Tool } from "./tool.ts";
import { write } from "./write.ts";

export const BUILTIN: readonly Tool[] = [bash, read, write, edit, glob, grep];
