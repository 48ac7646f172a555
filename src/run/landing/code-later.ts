/**
 * Files that run code later, without anybody running them: by a commit, a push, opening a folder, entering a directory, installing, starting an
 * agent. Who lands a change of one is asked first. One table, a short reason each; a pattern matches the path or any end of it after a `/`,
 * and a pattern that ends in `/` all that is below (and a link or file that has taken the directory's place).
 *
 * Here is what a tool runs or obeys by itself when somebody merely opens, enters or commits in the directory, installs, or starts a tool there that
 * asks nothing. Not here: what somebody starts by name (Makefile, tests, builds), and data (versions, ignore lists, attributes). It is a list of
 * what is common, and no boundary; docs/decisions.md has the reasons.
 */
import { Forgotten } from "../../trace/objects.ts";
import { MAX_OBJECT, type Objects } from "../../trace/ports.ts";
import type { Change, Side } from "./plan.ts";

const TABLE: [why: string, ...patterns: string[]][] = [
  [
    "runs as a git hook",
    ".husky/",
    ".githooks/",
    ".git-hooks/",
    ".lefthook/",
    "lefthook.{yml,yaml,json,toml}",
    ".lefthook.{yml,yaml,json,toml}",
    "lefthook-local.{yml,yaml,json,toml}",
    ".pre-commit-config.{yml,yaml}",
    ".pre-commit-hooks.yaml",
    ".overcommit.yml",
    ".huskyrc*",
    // Included by many a repository's own configuration, and may name a pager, an alias, a path of hooks.
    ".gitconfig",
    ".simple-git-hooks.*",
    "simple-git-hooks.*",
    ".lintstagedrc*",
    "lint-staged.config.*",
  ],
  [
    "runs in CI",
    ".github/workflows/",
    ".github/actions/",
    ".gitlab-ci.yml",
    ".gitlab/ci/",
    ".circleci/",
    "jenkinsfile",
    ".travis.yml",
    "azure-pipelines.{yml,yaml}",
    ".azure-pipelines/",
    "bitbucket-pipelines.yml",
    ".buildkite/",
    ".drone.yml",
    ".woodpecker/",
    ".woodpecker.{yml,yaml}",
    ".gitea/workflows/",
    ".forgejo/workflows/",
    ".cirrus.yml",
    ".teamcity/",
    "appveyor.yml",
    ".appveyor.yml",
  ],
  [
    "runs when an editor opens the folder",
    ".vscode/{tasks,settings,launch,mcp}.json",
    "*.code-workspace",
    ".idea/runconfigurations/",
    ".idea/workspace.xml",
    ".run/*.run.xml",
    ".devcontainer/",
    ".devcontainer.json",
    ".zed/{tasks,settings,debug}.json",
    ".fleet/{run,settings}.json",
    "*.sublime-project",
    // What language servers load or build as soon as a file is shown.
    "build.rs",
    ".eslintrc.{js,cjs,mjs}",
    "eslint.config.*",
    ".prettierrc.{js,cjs,mjs,ts,cts,mts}",
    "prettier.config.*",
    ".stylelintrc.{js,cjs,mjs}",
    "stylelint.config.*",
    ".dir-locals.el",
    ".dir-locals-2.el",
    ".exrc",
    ".vimrc",
    ".nvimrc",
    ".nvim.lua",
    ".lvimrc",
  ],
  [
    "runs when a shell starts or enters the directory",
    ".envrc",
    ".direnvrc",
    ".direnv/",
    "mise.toml",
    "mise.*.toml",
    ".mise.toml",
    ".mise.*.toml",
    ".mise/",
    ".config/mise/",
    // May name a directory as the version of a tool.
    ".tool-versions",
    "{flake,shell,devenv}.nix",
    "devbox.json",
    ".autoenv",
    ".autoenv.zsh",
    ".{bash,zsh,k,c,tc}shrc",
    ".bashrc",
    ".bash_{profile,login,logout,aliases}",
    ".profile",
    ".zprofile",
    ".zshenv",
    ".zlogin",
    ".zlogout",
    ".config/fish/",
  ],
  [
    "runs when packages are installed or a build tool starts",
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".yarn/plugins/",
    ".yarn/releases/",
    ".pnpmfile.{cjs,mjs}",
    "pnpmfile.js",
    "bunfig.toml",
    "pip.conf",
    ".cargo/config",
    ".cargo/config.toml",
    ".bundle/config",
    ".mvn/",
    "gradle-wrapper.properties",
    "gradle-wrapper.jar",
    ".bazelrc",
    "uv.toml",
    "nuget.config",
  ],
  [
    "runs when an interpreter or a debugger starts in the directory",
    "sitecustomize.py",
    "usercustomize.py",
    ".gdbinit",
    ".lldbinit",
    ".irbrc",
    ".pryrc",
    ".rprofile",
    ".renviron",
    ".ghci",
    ".iex.exs",
  ],
  [
    "decides what a coding agent runs",
    ".claude/",
    ".mcp.json",
    ".codex/",
    ".cursor/",
    ".gemini/",
    ".windsurf/",
    ".continue/",
    ".opencode/",
    "opencode.{json,jsonc}",
    ".roo/",
    ".roomodes",
    ".kiro/",
    ".amazonq/",
    ".junie/",
    ".aider.conf.yml",
  ],
  [
    "is obeyed by coding agents that start here",
    "claude.md",
    "claude.local.md",
    "agents.md",
    "agents.override.md",
    "gemini.md",
    ".cursorrules",
    ".windsurfrules",
    ".clinerules",
    ".clinerules/",
    ".goosehints",
    ".github/copilot-instructions.md",
    ".github/instructions/",
  ],
];

/** Manifests that run code by some of their members; others of their members change all the time. */
const MANIFESTS: { [name: string]: { why: string; members: string[] } } = {
  "package.json": {
    why: "has scripts that run when packages are installed or by git hooks",
    members: [
      "scripts",
      "husky",
      "simple-git-hooks",
      "lint-staged",
      "gitHooks",
      "pre-commit",
      "pre-push",
      "packageManager",
    ],
  },
  "composer.json": { why: "has scripts that run when packages are installed", members: ["scripts"] },
};

const regExpOf = (pattern: string): RegExp => {
  const body = pattern
    .replace(/\/$/, "")
    .replace(/[.+^$()|[\]\\]/g, "\\$&")
    .replace(/\*/g, "[^/]*")
    .replace(/\{([^}]*)\}/g, (_, list: string) => `(?:${list.replaceAll(",", "|")})`);
  return new RegExp(`(?:^|/)${body}${pattern.endsWith("/") ? "(?:/|$)" : "$"}`);
};

const RULES = TABLE.flatMap(([why, ...patterns]) => patterns.map((pattern) => ({ why, pattern: regExpOf(pattern) })));

/** Why a change must be allowed first; null if it need not. Reads only manifests of scripts. Making or removing a directory never asks. */
export async function runsCodeLater(
  objects: Objects,
  change: Pick<Change, "path" | "expected" | "next">,
): Promise<string | null> {
  const { expected, next } = change;
  if ((expected ?? next)!.type === "d" && (next ?? expected)!.type === "d") return null;
  // A file system that tells no case apart reads `.ENVRC` too.
  const path = change.path.toString("latin1").toLowerCase();
  for (const { why, pattern } of RULES) if (pattern.test(path)) return why;
  if (next?.type === "f" && lendsRights(next.mode)) return "runs with your rights, whoever starts it";
  const manifest = MANIFESTS[path.slice(path.lastIndexOf("/") + 1)];
  if (!manifest) return null;
  const [a, b] = [
    await membersOf(objects, expected, manifest.members),
    await membersOf(objects, next, manifest.members),
  ];
  return a === b && a !== UNREADABLE ? null : manifest.why;
}

/** Set-user-id, or set-group-id of a program; of what is none that bit means a kind of lock. */
const lendsRights = (mode: number): boolean => (mode & 0o4000) !== 0 || (mode & 0o2010) === 0o2010;

const UNREADABLE = "?";

async function membersOf(objects: Objects, side: Side | null, members: string[]): Promise<string> {
  if (!side || side.type === "d") return "{}";
  if (side.type !== "f") return UNREADABLE;
  const bytes = await objects.get(side.id!).catch((error: unknown) => {
    if (error instanceof Forgotten) return null;
    throw error;
  });
  if (!bytes || bytes.length > MAX_OBJECT) return UNREADABLE;
  try {
    const value = JSON.parse(
      Buffer.from(bytes)
        .toString("utf8")
        .replace(/^\ufeff/, ""),
    ) as { [key: string]: unknown } | null;
    if (value === null || typeof value !== "object") return UNREADABLE;
    return JSON.stringify(
      Object.fromEntries(members.flatMap((key) => (value[key] === undefined ? [] : [[key, value[key]]]))),
    );
  } catch {
    return UNREADABLE;
  }
}
