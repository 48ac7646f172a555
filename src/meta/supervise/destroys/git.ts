/** What git throws away: files that no commit holds, and commits that nothing names. */
import { type Arg, arg } from "../shell/expand.ts";
import { optionsOf } from "../shell/options.ts";
import { FILE, type Here, type Program, type Programs, WHOLE } from "./program.ts";

const GLOBAL = ["C", "c", "git-dir", "work-tree", "namespace", "exec-path"];

export const GIT: Programs = {
  git: (here) => {
    const { rest, values } = optionsOf(here.args, GLOBAL, { stop: true });
    const [verb, ...args] = rest;
    if (!verb) return;
    for (const { text } of values("c")) {
      const [, name, command] = /^alias\.([\w-]+)=(.*)$/s.exec(text) ?? [];
      if (name !== verb.text) continue;
      if (command!.startsWith("!")) here.script(command!.slice(1));
      else here.call([arg("git"), ...command!.split(/\s+/).map(arg), ...args]);
      return;
    }
    return VERBS[verb.text]?.(here, args) ?? null;
  },
  "git-filter-repo": ({ note }) => note("work", "It rewrites the whole history."),
};

const isAll = ({ text }: Arg): boolean => /^(?:\.\/?|:\/|\*|:\(top\)|\.\/\*|--all)$/.test(text);

/** Files are set back to what a commit has. */
function setBack({ note, place }: Here, paths: readonly Arg[], what: string): null {
  if (paths.some((each) => isAll(each) || each.glob || (!each.unknown && !/\.[A-Za-z]\w{0,4}$/.test(each.text))))
    note("work", what);
  else if (paths.some(({ text }) => place.kind?.(text) === "uncommitted")) note("work", what);
  else if (paths.length > 0) note("limited", "It throws away what was changed in a file.");
  return null;
}

const CHANGES = "It throws away changes that are in no commit.";

const VERBS: { [verb: string]: (here: Here, args: readonly Arg[]) => ReturnType<Program> } = {
  reset: ({ note }, args) => {
    if (optionsOf(args).has("hard", "merge", "keep")) note("work", CHANGES);
  },
  clean: ({ note, path, place }, args) => {
    const { has, rest } = optionsOf(args, ["e", "exclude"]);
    if (has("n", "dry-run") || !has("f", "force")) return;
    if (rest.length > 0) for (const each of rest) path(each, WHOLE);
    // What is ignored is mostly made by tools, but also settings that only lie here.
    else if (has("X")) note("limited", "It deletes all files that Git ignores.");
    else
      note(
        "work",
        `It deletes all files in ${place.cwd === place.workspace ? "the project" : "a directory"} that are in no commit.`,
      );
  },
  checkout: (here, args) => {
    const { has, rest } = optionsOf(args, ["b", "B", "orphan"]);
    if (has("f", "force")) return here.note("work", CHANGES);
    const after = args.findIndex(({ text }) => text === "--");
    if (after >= 0) return setBack(here, args.slice(after + 1), CHANGES);
    if (has("b", "B", "orphan", "p", "patch")) return;
    if (rest.some(isAll)) setBack(here, rest.filter(isAll), CHANGES);
    // Without dashes the last word may be a file: one that looks like it.
    else if (
      rest.length > 0 &&
      /\/.*\.[A-Za-z]\w{0,4}$|^[^/]+\.(?:[cm]?[jt]sx?|py|go|rs|md|json|java|rb|c|h)$/.test(rest.at(-1)!.text)
    )
      setBack(here, rest.slice(-1), CHANGES);
  },
  restore: (here, args) => {
    const { has, rest } = optionsOf(args, ["s", "source"]);
    if (has("S", "staged") && !has("W", "worktree")) return;
    setBack(here, rest, CHANGES);
  },
  switch: ({ note }, args) => {
    if (optionsOf(args, ["c", "C", "create", "force-create"]).has("f", "force", "discard-changes"))
      note("work", CHANGES);
  },
  "read-tree": ({ note }, args) => {
    if (optionsOf(args).has("reset") && optionsOf(args).has("u")) note("work", CHANGES);
  },
  stash: ({ note }, args) => {
    if (/^(?:drop|clear)$/.test(args[0]?.text ?? "")) note("work", "It throws away changes that were put aside.");
  },
  branch: ({ note }, args) => {
    const { has } = optionsOf(args, ["u", "set-upstream-to"]);
    if (has("D") || (has("d", "delete") && has("f", "force")))
      note("work", "It deletes a branch that may hold the only name of its commits.");
  },
  tag: ({ note }, args) => {
    if (optionsOf(args, ["m", "F", "u"]).has("d", "delete")) note("limited", "It deletes a tag.");
  },
  push: ({ note }, args) => {
    const { has, rest } = optionsOf(args, ["o", "push-option", "repo", "receive-pack", "exec"]);
    if (has("n", "dry-run")) return;
    if (has("f", "force", "force-with-lease", "mirror", "prune")) note("outside", "It overwrites commits of a remote.");
    else if (has("d", "delete") || rest.slice(1).some(({ text }) => /^:./.test(text)))
      note("outside", "It deletes a branch of a remote.");
    else if (rest.slice(1).some(({ text }) => text.startsWith("+")))
      note("outside", "It overwrites commits of a remote.");
  },
  reflog: ({ note }, args) => {
    if (/^(?:expire|delete)$/.test(args[0]?.text ?? "")) note("work", "It throws away the names of earlier commits.");
  },
  gc: ({ note }, args) => {
    if (args.some(({ text }) => /^--prune=(?:now|all)/.test(text)))
      note("work", "It throws away commits that nothing names.");
  },
  prune: ({ note }, args) => {
    if (!optionsOf(args).has("n", "dry-run")) note("work", "It throws away commits that nothing names.");
  },
  "update-ref": ({ note }, args) => {
    if (optionsOf(args).has("d")) note("work", "It deletes a name of commits.");
  },
  "filter-branch": ({ note }) => note("work", "It rewrites the whole history."),
  "filter-repo": ({ note }) => note("work", "It rewrites the whole history."),
  worktree: ({ note }, args) => {
    if (args[0]?.text === "remove" && optionsOf(args).has("f", "force")) note("work", CHANGES);
  },
  submodule: ({ note, script }, args) => {
    if (args[0]?.text === "deinit" && optionsOf(args).has("f", "force")) note("work", CHANGES);
    if (args[0]?.text === "foreach")
      script(
        optionsOf(args.slice(1))
          .rest.map(({ text }) => text)
          .join(" "),
      );
  },
  rm: ({ path }, args) => {
    const { rest, has } = optionsOf(args, ["pathspec-from-file"]);
    if (has("n", "dry-run", "cached")) return;
    for (const each of rest) path(each, has("r") ? WHOLE : FILE);
  },
  "rev-parse": ({ place }, args) => {
    const known = args.some(({ text }) => text === "--show-toplevel") && place.cwd.startsWith(place.workspace);
    return known ? { text: `${place.workspace}\n` } : null;
  },
  "ls-files": (_here, args) => {
    const { rest } = optionsOf(args, ["x", "X", "exclude", "exclude-from"]);
    const whole = rest.length > 0 ? rest : [{ text: "*", unknown: false, glob: true }];
    return { text: null, paths: whole.map((each) => ({ ...each, glob: true })), from: "git" };
  },
};
