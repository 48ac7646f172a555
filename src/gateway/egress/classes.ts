/**
 * What kind of place a name is. The three known kinds are where a run without the user's keys can ask and change nothing, so what reaches them is
 * repeatable; whatever else is reached may have acted for good. Other ports than those of HTTP are of no known kind.
 */
import type { Place } from "../../scope/network.ts";
import type { Tier } from "../../trace/frame.ts";

export type Class = "registry" | "git" | "provider" | "other";

/** Registries are listed as packages are named in many of them: from the top down. */
export const forward = (name: string): string => name.split(".").reverse().join(".");

/** Names, and below a `*.` all names under one. What only takes uploads is not among them. */
const NAMES: { [kind in Exclude<Class, "other">]: readonly string[] } = {
  registry: [
    ...["org.npmjs.registry", "com.yarnpkg.registry", "com.yarnpkg.repo", "io.jsr.npm", "io.jsr"],
    ...["org.nodejs", "org.pypi", "org.pythonhosted.files", "org.anaconda.conda", "com.anaconda.repo"],
    ...["io.crates.index", "io.crates.static", "org.rust-lang.static", "org.golang.proxy", "org.golang.sum"],
    ...["org.rubygems", "org.rubygems.index", "org.apache.maven.repo", "org.maven.repo1", "org.gradle.plugins"],
    ...["org.gradle.services", "com.google.maven", "org.nuget.api", "org.nuget.globalcdn", "org.packagist"],
    ...["org.packagist.repo", "pm.hex.repo", "pm.hex.builds", "dev.pub", "dev.playwright.cdn", "org.debian.deb"],
    ...["org.debian.security", "com.ubuntu.archive", "com.ubuntu.security", "com.ubuntu.ports"],
    ...["org.alpinelinux.dl-cdn"],
  ].map(forward),
  git: [
    ...["github.com", "api.github.com", "codeload.github.com", "*.githubusercontent.com"],
    ...["gitlab.com", "bitbucket.org", "codeberg.org", "git.sr.ht"],
  ],
  provider: [
    ...["api.anthropic.com", "api.openai.com", "generativelanguage.googleapis.com", "openrouter.ai"],
    // Codex asks there too, whatever it is told to ask; in a run it has no login.
    "chatgpt.com",
    ...["api.mistral.ai", "api.groq.com", "api.deepseek.com", "api.x.ai", "api.cohere.com", "api.together.xyz"],
  ],
};

const kinds = new Map<string, Class>();
for (const [kind, names] of Object.entries(NAMES)) for (const name of names) kinds.set(name, kind as Class);

export function classOf({ host, port }: Place): Class {
  if (port !== 80 && port !== 443) return "other";
  return kinds.get(host) ?? kinds.get(`*.${host.slice(host.indexOf(".") + 1)}`) ?? "other";
}

export const tierOfClass = (kind: Class): Tier => (kind === "other" ? "irreversible" : "repeatable");
