/** The user's configuration of Codex, and what of it a run gets. */
import { randomUUID } from "node:crypto";
import { cpSync, existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type { ConfigPlace } from "../plugin.ts";

/** Entries of the directory that are about what the user set up, and not about what went on. Profiles are files of their own. */
const KEPT =
  /^(config\.toml|[\w-]+\.config\.toml|AGENTS(\.override)?\.md|hooks\.json|hooks|agents|prompts|rules|skills|plugins|themes)$/;

export function configPlace(env: NodeJS.ProcessEnv): ConfigPlace {
  const path = env.CODEX_HOME ? resolve(env.CODEX_HOME) : join(homedir(), ".codex");
  return { path, hide: [join(path, "auth.json")] };
}

/** The name under which it tells itself from others, with each request: it must be the same wherever a run goes on. */
const INSTALLATION = "installation_id";

export function gather({ path }: ConfigPlace, _workspace: string, into: string): void {
  for (const name of existsSync(path) ? readdirSync(path) : [])
    if (KEPT.test(name))
      // Links of the user's lead to where they set it up; the files behind them are what counts.
      cpSync(join(path, name), join(into, name), {
        recursive: true,
        dereference: true,
        filter: (each) => !/\/\.git$/.test(each) && isPlain(each),
      });
  const known = existsSync(join(path, INSTALLATION)) ? readFileSync(join(path, INSTALLATION), "utf8") : randomUUID();
  writeFileSync(join(into, INSTALLATION), known, { mode: 0o600 });
}

/** Sockets and pipes stay where they are. */
function isPlain(path: string): boolean {
  const stat = lstatSync(path);
  return stat.isFile() || stat.isDirectory() || (stat.isSymbolicLink() && existsSync(path));
}

/** The model provider that the user's configuration names, which a run does not ask itself; null without one. */
export function providerOf({ path }: ConfigPlace): string | null {
  const file = join(path, "config.toml");
  const root = existsSync(file) ? readFileSync(file, "utf8").split(/^\s*\[/m)[0]! : "";
  return /^\s*model_provider\s*=\s*["']([^"']+)["']/m.exec(root)?.[1] ?? null;
}
