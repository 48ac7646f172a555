// What others do to fork a directory, each by its own command.
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { finallyDo, home, median, timed } from "../lib.mjs";

const does = (command, ...args) => spawnSync(command, args, { stdio: "ignore" }).status === 0;
const again = (rounds, work) => median(Array.from({ length: rounds }, (_, i) => work(i)));

/** A copy of a tree by a command that makes another one beside it; the other is removed outside of the time. */
function copies(rounds, tree, ...command) {
  const to = `${tree}-copy`;
  return again(rounds, () => {
    const { ms } = timed(command[0], [...command.slice(1), tree, to]);
    rmSync(to, { recursive: true });
    return ms;
  });
}

export const cp = (tree, rounds) => copies(rounds, tree, "cp", "-a");
export const hardLinks = (tree, rounds) => copies(rounds, tree, "cp", "-al");

/** `git worktree add` of a commit that has the tree. */
export function worktree(tree, rounds) {
  const git = (...args) =>
    timed("git", ["-C", tree, "-c", "user.name=b", "-c", "user.email=b@b", "-c", "gc.auto=0", ...args]);
  git("init", "-q");
  git("add", "-A");
  git("commit", "-qm", "all");
  const to = `${tree}-worktree`;
  const took = again(rounds, () => {
    const { ms } = git("worktree", "add", "-f", "--detach", "-q", to);
    git("worktree", "remove", "--force", to);
    return ms;
  });
  rmSync(join(tree, ".git"), { recursive: true });
  return took;
}

/** A tree in a file system of its own in a file; null where this machine gives none. */
export function onDisk(kind, bytes, make) {
  const [image, at] = [join(home, `${kind}.img`), join(home, kind)];
  writeFileSync(image, "");
  truncateSync(image, bytes);
  mkdirSync(at);
  const made = kind === "xfs" ? ["mkfs.xfs", "-q", "-m", "reflink=1"] : ["mkfs.btrfs", "-q", "-m", "single"];
  if (!does(...made, image) || !does("mount", "-o", "loop", image, at)) {
    rmSync(image);
    return null;
  }
  const end = () => {
    spawnSync("umount", [at]);
    spawnSync("rmdir", [at]);
    rmSync(image, { force: true });
  };
  finallyDo(end);
  make(at);
  return { at, end };
}

export const subvolume = (at) => timed("btrfs", ["subvolume", "create", at]);
export const copyInto = (tree, at) => timed("cp", ["-aT", tree, at]);

export const reflinks = (tree, rounds) => copies(rounds, tree, "cp", "-a", "--reflink=always");

export function snapshots(at, rounds) {
  return again(rounds, (i) => {
    const to = join(at, `snapshot-${i}`);
    const { ms } = timed("btrfs", ["subvolume", "snapshot", join(at, "tree"), to]);
    timed("btrfs", ["subvolume", "delete", to]);
    return ms;
  });
}

/** Docker's daemon, started for this bench alone; a sentence where it cannot be. */
export async function docker() {
  if (process.getuid() !== 0) return "not root";
  const at = join(home, "docker");
  mkdirSync(at);
  const program = join(at, "hold");
  writeFileSync(
    `${program}.c`,
    "#include <unistd.h>\nint main(int argc, char **argv) { (void)argv; while (argc > 1) pause(); return 0; }\n",
  );
  if (!does("cc", "-static", "-O2", "-o", program, `${program}.c`))
    return "no C compiler for the program of its containers";
  const socket = `unix://${join(at, "socket")}`;
  const words = ["--data-root", join(at, "data"), "--exec-root", join(at, "exec"), "-H", socket, "-p", join(at, "pid")];
  const daemon = spawn("dockerd", [...words, "--iptables=false", "--bridge=none"], { stdio: "ignore" });
  const failed = new Promise((resolve) => daemon.once("error", (error) => resolve(error.message)));
  const end = async () => {
    const ended = new Promise((resolve) => daemon.once("exit", resolve));
    if (daemon.kill("SIGTERM")) await ended;
  };
  // It mounts its data upon themselves, and leaves that where it is killed.
  finallyDo(() => daemon.kill("SIGKILL") && spawnSync("umount", ["-l", join(at, "data")]));
  const run = (...args) => timed("docker", ["-H", socket, ...args]);
  for (let tries = 0; tries < 100; tries++) {
    if (spawnSync("docker", ["-H", socket, "version"], { stdio: "ignore" }).status === 0) break;
    const why = await Promise.race([failed, new Promise((resolve) => setTimeout(resolve, 200, null))]);
    if (why) return why;
    if (tries === 99) return "its daemon does not answer";
  }
  return {
    end,
    /** `docker commit` of a container that runs and has changed 10 files, and after it `docker run` of what came of that. Medians in ms. */
    commits(tree, rounds) {
      const image = `bench-${Math.random().toString(36).slice(2)}`;
      const whole = timed("bash", [
        "-c",
        'set -o pipefail; tar -C "$1" -c . -C "$2" hold | docker -H "$3" import - "$4"',
        "import",
        tree,
        at,
        socket,
        image,
      ]);
      const container = run("run", "-d", "--network", "none", image, "/hold", "on").stdout.trim();
      writeFileSync(join(at, "change"), "changed\n");
      for (let i = 0; i < 10; i++) run("cp", join(at, "change"), `${container}:/change-${i}`);
      const times = { commit: [], both: [] };
      for (let i = 0; i < rounds; i++) {
        const commit = run("commit", container, `${image}:${i}`).ms;
        const start = run("run", "--rm", "--network", "none", `${image}:${i}`, "/hold").ms;
        times.commit.push(commit);
        times.both.push(commit + start);
        run("rmi", "-f", `${image}:${i}`);
      }
      run("rm", "-f", container);
      run("rmi", "-f", image);
      return { commit: median(times.commit), both: median(times.both), imported: whole.ms };
    },
  };
}
