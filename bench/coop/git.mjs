// Trees made by git of patches and of directories, without a work tree.
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Runs a command: what it wrote, and how it ended. Throws only where it cannot be run at all. */
export function run(command, args, { input, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, { maxBuffer: 1 << 28, ...options }, (error, stdout, stderr) => {
      if (error && typeof error.code === "string") reject(error);
      else resolve({ code: error ? (error.code ?? 1) : 0, killed: error?.killed === true, stdout, stderr });
    });
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}

/** Runs a command that must succeed; what it wrote. */
export async function must(command, args, options) {
  const { code, stdout, stderr } = await run(command, args, options);
  if (code !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr || stdout}`);
  return stdout.trim();
}

const NAMES = {
  GIT_AUTHOR_NAME: "bench",
  GIT_AUTHOR_EMAIL: "bench@example.org",
  GIT_AUTHOR_DATE: "1700000000 +0000",
  GIT_COMMITTER_NAME: "bench",
  GIT_COMMITTER_EMAIL: "bench@example.org",
  GIT_COMMITTER_DATE: "1700000000 +0000",
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_CONFIG_NOSYSTEM: "1",
};

/** A bare repository at `dir` that borrows the objects of `from`. */
export async function repository(dir, from) {
  if (!existsSync(dir)) {
    await must("git", ["clone", "-q", "--bare", "--shared", from, `${dir}.new`]);
    writeFileSync(join(`${dir}.new`, "union"), "* merge=union\n");
    await must("mv", [`${dir}.new`, dir]);
  }
  let indexes = 0;
  const git = (args, options = {}) =>
    must("git", args, { ...options, env: { ...process.env, ...NAMES, GIT_DIR: dir, ...options.env } });
  const withIndex = async (work) => {
    const index = join(dir, `index-${process.pid}-${indexes++}`);
    try {
      return await work({ GIT_INDEX_FILE: index });
    } finally {
      rmSync(index, { force: true });
    }
  };
  return {
    dir,
    git,
    treeOf: (commit) => git(["rev-parse", `${commit}^{tree}`]),
    commit: (tree, ...parents) => git(["commit-tree", tree, ...parents.flatMap((p) => ["-p", p]), "-m", "bench"]),
    /** The tree that patches make of a tree, one after the other; null if one does not apply. */
    patched: (tree, ...patches) =>
      withIndex(async (env) => {
        await git(["read-tree", tree], { env });
        for (const input of patches.filter((patch) => patch !== "")) {
          const apply = (...how) => git(["apply", "--cached", ...how], { env, input });
          const done = await apply("--ignore-whitespace")
            .catch(() => apply("--3way"))
            .then(
              () => true,
              () => false,
            );
          if (!done) return null;
        }
        return git(["write-tree"], { env });
      }),
    /** The tree of a directory with all that is in it. */
    taken: (path) =>
      withIndex(async (env) => {
        await git(["--work-tree", path, "add", "-A", "-f", "."], { env, cwd: path });
        return git(["write-tree"], { env });
      }),
    /** Writes a tree into a directory, which is made. */
    checkout: (tree, path) =>
      withIndex(async (env) => {
        mkdirSync(path, { recursive: true });
        await git(["read-tree", tree], { env });
        await git(["--work-tree", path, "checkout-index", "-a", "-f"], { env, cwd: path });
      }),
    /** `git merge` of `theirs` into `ours`: its tree, and the paths that conflict. By union where that is asked for. */
    merge: async (ours, theirs, { union = false } = {}) => {
      const args = ["merge-tree", "--write-tree", "--name-only", "--no-messages", ours, theirs];
      const attributes = union ? ["-c", `core.attributesFile=${join(dir, "union")}`] : [];
      const env = { ...process.env, ...NAMES, GIT_DIR: dir };
      const { code, stdout, stderr } = await run("git", [...attributes, ...args], { env });
      if (code > 1) throw new Error(`git merge-tree: ${stderr}`);
      const [tree, ...paths] = stdout.trim().split("\n");
      return { tree, conflicts: code === 0 ? [] : paths };
    },
  };
}
