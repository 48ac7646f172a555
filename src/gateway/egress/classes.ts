/**
 * What kind of place a name is. The three known kinds are where a run without the user's keys can ask and change nothing, so what reaches them is
 * repeatable; whatever else is reached may have acted for good. Other ports than those of HTTP are of no known kind.
 */
import type { Place } from "../../scope/network.ts";
import type { Tier } from "../../trace/frame.ts";

export type Class = "registry" | "git" | "provider" | "other";

/** Names, and below a `*.` all names under one. What only takes uploads is not among them. */
const NAMES: { [kind in Exclude<Class, "other">]: readonly string[] } = {
  registry: [
    ...["registry.npmjs.org", "registry.yarnpkg.com", "repo.yarnpkg.com", "npm.jsr.io", "jsr.io", "nodejs.org"],
    ...["pypi.org", "files.pythonhosted.org", "conda.anaconda.org", "repo.anaconda.com"],
    ...["index.crates.io", "static.crates.io", "static.rust-lang.org"],
    ...["proxy.golang.org", "sum.golang.org", "rubygems.org", "index.rubygems.org"],
    ...["repo.maven.apache.org", "repo1.maven.org", "plugins.gradle.org", "services.gradle.org", "maven.google.com"],
    ...["api.nuget.org", "globalcdn.nuget.org", "packagist.org", "repo.packagist.org"],
    ...["repo.hex.pm", "builds.hex.pm", "pub.dev", "cdn.playwright.dev"],
    ...["deb.debian.org", "security.debian.org", "archive.ubuntu.com", "security.ubuntu.com", "ports.ubuntu.com"],
    "dl-cdn.alpinelinux.org",
  ],
  git: [
    ...["github.com", "api.github.com", "codeload.github.com", "*.githubusercontent.com"],
    ...["gitlab.com", "bitbucket.org", "codeberg.org", "git.sr.ht"],
  ],
  provider: [
    ...["api.anthropic.com", "api.openai.com", "generativelanguage.googleapis.com", "openrouter.ai"],
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
