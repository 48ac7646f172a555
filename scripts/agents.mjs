// The real coding agents, for tests and benches: exact versions, in a place of their own, installed once. They are no dependencies of the package.
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

export const VERSIONS = { "@anthropic-ai/claude-code": "2.1.329", "@openai/codex": "0.169.0" };

// No cache directory: those are empty in a sandbox.
const place = join(process.env.XDG_DATA_HOME || join(homedir(), ".local", "share"), "shepherd-agents");

const made = join(place, Object.values(VERSIONS).join("-"));
const bin = join(made, "bin");

/** Where they are, if they were installed; else null. */
export const installed = () => (existsSync(bin) ? bin : null);

/** The directory whose `claude` and `codex` are these versions, for a PATH; installs them first if need be. */
export function agents() {
  if (existsSync(bin)) return bin;
  mkdirSync(place, { recursive: true });
  const fresh = mkdtempSync(join(place, "new-"));
  try {
    writeFileSync(join(fresh, "package.json"), "{}");
    const wanted = Object.entries(VERSIONS).map(([name, version]) => `${name}@${version}`);
    execFileSync("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--save-exact", ...wanted], {
      cwd: fresh,
      stdio: ["ignore", "ignore", "inherit"],
    });
    // Scripts of packages do not run here; all that this one's does is to put the program of this system in its place.
    const anthropic = join("node_modules", "@anthropic-ai");
    const native = readdirSync(join(fresh, anthropic)).find((name) => name.startsWith("claude-code-"));
    mkdirSync(join(fresh, "bin"));
    symlinkSync(join("..", anthropic, native, "claude"), join(fresh, "bin", "claude"));
    symlinkSync(join("..", "node_modules", ".bin", "codex"), join(fresh, "bin", "codex"));
    renameSync(fresh, made);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    if (!existsSync(bin)) throw error;
  }
  return bin;
}

if (import.meta.filename === process.argv[1]) console.log(agents());
