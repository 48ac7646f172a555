/** The user's configuration of Codex, and what of it a run gets. */
import { randomUUID } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { copySettings } from "../copy.ts";
import type { ConfigPlace } from "../plugin.ts";

/** Entries of the directory that are about what the user set up, and not about what went on. Profiles are files of their own. */
const KEPT =
  /^(config\.toml|[\w-]+\.config\.toml|AGENTS(\.override)?\.md|hooks\.json|hooks|agents|prompts|rules|skills|plugins|themes)$/;

export function configPlace(env: NodeJS.ProcessEnv): ConfigPlace {
  const usual = join(homedir(), ".codex");
  const path = env.CODEX_HOME ? resolve(env.CODEX_HOME) : usual;
  const hide = [join(path, "auth.json")];
  // A login of another configuration is no business of this one's.
  return { path, hide: path === usual ? hide : [...hide, usual] };
}

/** The name under which it tells itself from others, with each request: it must be the same wherever a run goes on. */
const INSTALLATION = "installation_id";

export function gather({ path }: ConfigPlace, _workspace: string, into: string): void {
  for (const name of existsSync(path) ? readdirSync(path) : [])
    if (KEPT.test(name)) copySettings(join(path, name), join(into, name));
  const known = existsSync(join(path, INSTALLATION)) ? readFileSync(join(path, INSTALLATION), "utf8") : randomUUID();
  writeFileSync(join(into, INSTALLATION), known, { mode: 0o600 });
}

/** The model provider that the user's configuration names, which a run does not ask itself; null without one. */
export function providerOf({ path }: ConfigPlace): string | null {
  const file = join(path, "config.toml");
  const root = existsSync(file) ? readFileSync(file, "utf8").split(/^\s*\[/m)[0]! : "";
  return /^\s*model_provider\s*=\s*["']([^"']+)["']/m.exec(root)?.[1] ?? null;
}
