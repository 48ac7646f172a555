// The real coding agents, for tests and benches: exact versions, in a place of their own, installed once. They are no dependencies of the package.
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

export const VERSIONS = { "@anthropic-ai/claude-code": "2.1.329", "@openai/codex": "0.169.0" };
const OPENCODE = "1.18.33";

// No cache directory: those are empty in a sandbox.
const place = join(process.env.XDG_DATA_HOME || join(homedir(), ".local", "share"), "shepherd-agents");

const made = join(place, Object.values(VERSIONS).join("-"));
const bin = join(made, "bin");

/** Where they are, if they were installed; else null. */
export const installed = () => (existsSync(bin) ? bin : null);

/** Installs packages into a directory of their own, unless they are there, and gives its `bin`, which `link` fills. */
function install(made, versions, link) {
  const bin = join(made, "bin");
  if (existsSync(bin)) return bin;
  mkdirSync(place, { recursive: true });
  const fresh = mkdtempSync(join(place, "new-"));
  try {
    writeFileSync(join(fresh, "package.json"), "{}");
    const wanted = Object.entries(versions).map(([name, version]) => `${name}@${version}`);
    execFileSync("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--save-exact", ...wanted], {
      cwd: fresh,
      stdio: ["ignore", "ignore", "inherit"],
    });
    mkdirSync(join(fresh, "bin"));
    // Scripts of packages do not run here; all that these do is to put the program of this system in its place.
    link(fresh, (name, ...path) => symlinkSync(join("..", "node_modules", ...path), join(fresh, "bin", name)));
    renameSync(fresh, made);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    if (!existsSync(bin)) throw error;
  }
  return bin;
}

/** The directory whose `claude` and `codex` are these versions, for a PATH; installs them first if need be. */
export const agents = () =>
  install(made, VERSIONS, (fresh, link) => {
    const native = readdirSync(join(fresh, "node_modules", "@anthropic-ai")).find((name) =>
      name.startsWith("claude-code-"),
    );
    link("claude", "@anthropic-ai", native, "claude");
    link("codex", ".bin", "codex");
  });

/** The same for `opencode`, a program that goes behind the gateway. */
export const opencode = () =>
  install(join(place, `opencode-${OPENCODE}`), { "opencode-ai": OPENCODE }, (fresh, link) => {
    const modules = join(fresh, "node_modules");
    const natives = readdirSync(modules).filter((name) => name.startsWith("opencode-") && name !== "opencode-ai");
    // The one for older processors runs on all, and each has 180 MB.
    const native = natives.find((name) => name.endsWith("-baseline")) ?? natives[0];
    for (const name of natives) if (name !== native) rmSync(join(modules, name), { recursive: true });
    link("opencode", native, "bin", "opencode");
  });

/** The `node_modules` of `examples/langgraph`: a harness that is not ours, whose program goes behind the gateway. */
export const langgraph = () => {
  const { dependencies } = JSON.parse(readFileSync(join(import.meta.dirname, "../examples/langgraph/package.json")));
  const name = `langgraph-${Object.values(dependencies).join("-")}`;
  return join(dirname(install(join(place, name), dependencies, () => {})), "node_modules");
};

if (import.meta.filename === process.argv[1]) console.log(agents());
