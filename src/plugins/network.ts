/** The environment by which what runs in a scope finds its way out, and in which it finds no keys for what it may reach. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

type Env = { [name: string]: string | null };

/** What is never sent to a proxy: the scope's own servers, and the gateway. */
const NEAR = "127.0.0.1,localhost,::1";

/** Variables that lead programs to the egress proxy, in front of settings of the user's that would lead them elsewhere. */
export function proxyEnv(port: number): Env {
  const url = `http://127.0.0.1:${port}`;
  const env: Env = {};
  for (const name of ["http_proxy", "https_proxy", "all_proxy"]) env[name] = env[name.toUpperCase()] = url;
  env.no_proxy = env.NO_PROXY = NEAR;
  return {
    ...env,
    // fetch of Node, from 22.21 and 24.5 on.
    NODE_USE_ENV_PROXY: "1",
    npm_config_proxy: url,
    npm_config_https_proxy: url,
    npm_config_noproxy: NEAR,
    YARN_HTTP_PROXY: url,
    YARN_HTTPS_PROXY: url,
    PIP_PROXY: url,
    CARGO_HTTP_PROXY: url,
  };
}

/** On the network of the machine, where the user's own proxy must not be asked for the gateway. */
export function hostEnv(env: NodeJS.ProcessEnv): Env {
  const kept = env.no_proxy ?? env.NO_PROXY;
  const near = kept ? `${kept},${NEAR}` : NEAR;
  return { no_proxy: near, NO_PROXY: near };
}

/** Who publishes or pushes by one of these could not be told from who only reads. */
const KEYS: readonly string[] = [
  ...["GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "GITHUB_PAT", "GITLAB_TOKEN"],
  ...["GL_TOKEN", "BITBUCKET_TOKEN", "GITEA_TOKEN", "GIT_ASKPASS", "SSH_ASKPASS"],
  ...["NPM_TOKEN", "NODE_AUTH_TOKEN", "YARN_NPM_AUTH_TOKEN", "TWINE_USERNAME", "TWINE_PASSWORD", "UV_PUBLISH_TOKEN"],
  ...["POETRY_PYPI_TOKEN_PYPI", "CARGO_REGISTRY_TOKEN", "GEM_HOST_API_KEY", "NUGET_API_KEY", "HEX_API_KEY"],
];

/** Takes the keys of registries and git hosts out: without them, to reach one changes nothing there. */
export const withoutKeys = (): Env => Object.fromEntries(KEYS.map((name) => [name, null]));

/** Below a home directory: where tools keep such keys, besides what every scope hides. */
const KEY_FILES: readonly string[] = [
  ...[".cargo/credentials", ".cargo/credentials.toml", ".gem/credentials", ".local/share/gem/credentials"],
  ...[".config/hub", ".config/glab-cli", ".config/pypoetry/auth.toml"],
];

/** Files of a home directory that a coding agent must not see. npm's also says which registry to ask, so it is hidden only where it has a key. */
export function keyFiles(home: string): string[] {
  const found = KEY_FILES.map((each) => join(home, each));
  const npmrc = join(home, ".npmrc");
  try {
    if (/_(auth|authToken|password)\s*=/.test(readFileSync(npmrc, "utf8"))) found.push(npmrc);
  } catch {
    // There is none.
  }
  return found;
}
