/** The user's configuration of Claude Code, and what of it a run gets. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { DUMMY } from "../../gateway/credentials.ts";
import { copySettings } from "../copy.ts";
import type { ConfigPlace } from "../plugin.ts";

/** Entries of the directory that are about what the user set up, and not about what went on. */
const KEPT: readonly string[] = [
  ...["settings.json", "settings.local.json", "CLAUDE.md", "keybindings.json", "agents", "commands", "skills"],
  ...["plugins", "output-styles", "hooks", "rules", "themes", "statusline.sh", "statusline-command.sh"],
];

/** Members of .claude.json that are keys, or say which keys were accepted. */
const SECRET = ["primaryApiKey", "customApiKeyResponses", "oauthAccount"];

export function configPlace(env: NodeJS.ProcessEnv): ConfigPlace {
  const usual = join(homedir(), ".claude");
  const path = env.CLAUDE_CONFIG_DIR ? resolve(env.CLAUDE_CONFIG_DIR) : usual;
  const hide = [join(homedir(), ".claude.json"), join(path, ".credentials.json")];
  // A login of another configuration is no business of this one's.
  return { path, hide: path === usual ? hide : [...hide, usual] };
}

/** Name of the directory that Claude Code keeps a project's conversations in. */
export const projectFolder = (workspace: string): string => workspace.replaceAll(/[^A-Za-z0-9]/g, "-");

export function gather({ path }: ConfigPlace, workspace: string, into: string): void {
  for (const name of KEPT) if (existsSync(join(path, name))) copySettings(join(path, name), join(into, name));
  const project = join("projects", projectFolder(workspace));
  const memory = join(project, "memory");
  if (existsSync(join(path, memory))) {
    mkdirSync(join(into, project), { recursive: true });
    copySettings(join(path, memory), join(into, memory));
  }
  const state = [join(path, ".claude.json"), join(homedir(), ".claude.json")].find(existsSync);
  const known = state ? readState(state) : {};
  for (const name of SECRET) delete known[name];
  // It makes one up where there is none, and tells it with each request: it must be the same wherever a run goes on.
  known.userID ??= randomBytes(32).toString("hex");
  // What it would ask before it begins: whether this directory and this key are the user's. In a scope both are known.
  known.hasCompletedOnboarding = true;
  known.bypassPermissionsModeAccepted = true;
  known.customApiKeyResponses = { approved: [DUMMY], rejected: [] };
  const projects = (known.projects ?? {}) as { [path: string]: object };
  const here = { ...projects[workspace], hasTrustDialogAccepted: true, hasCompletedProjectOnboarding: true };
  known.projects = { ...projects, [workspace]: here };
  writeFileSync(join(into, ".claude.json"), `${JSON.stringify(known, null, 2)}\n`, { mode: 0o600 });
}

function readState(path: string): { [name: string]: unknown } {
  try {
    const value: unknown = JSON.parse(readFileSync(path, "utf8"));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
  } catch {
    return {};
  }
}
