/** The tools of the built-in agent by their names: who only names them need not load them. */

export const BUILTIN = ["bash", "read", "write", "edit", "glob", "grep"] as const;

export type BuiltinName = (typeof BUILTIN)[number];
