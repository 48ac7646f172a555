/** A holder that programs of the host make: unshare, mount and setpriv. For where there is no helper. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import type { Socket } from "node:net";
import { HOLDER_NAME } from "./helper.ts";
import { endedEarly, type Holder, isRoot, type Method } from "./holder.ts";
import { listenIn } from "./listener.ts";
import { type MountCall, nameOf, parseMounts, toFstab } from "./mounts.ts";
import { quote } from "./quote.ts";
import { type SandboxSpec, SCRATCH_DIR } from "./spec.ts";
import { hasEnded, type Process, processTable, send } from "./table.ts";
import { unnamedFile, writeAt } from "./temp.ts";
import { findProgram, NoTool } from "./tools.ts";
import { container, DEVICE_LINKS, difference, lockdown, mountCall, type Piece } from "./view.ts";

type ByTools = Extract<Method, { tools: unknown }>;

/** What root keeps inside a sandbox: what package managers and builds use, nothing that reaches the host's kernel or disks. */
const CAPABILITIES =
  "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+sys_chroot,+audit_write,+setfcap";

const HEAD = `set -u; cd /
fail() { printf '%s\\n' "$1" >&2; exit 1; }
# Makes a mount point below a mount of the sandbox's own, and follows no link on the way.
point() {
  local at=$1 rest=$2 part
  while [ -n "$rest" ]; do
    part=\${rest%%/*}; if [ "$part" = "$rest" ]; then rest=; else rest=\${rest#*/}; fi
    at=$at/$part
    if [ -L "$at" ]; then fail "$at is a symbolic link, and nothing can be shown there; remove it."; fi
    if [ -n "$rest" ] || [ "$3" = dir ]; then [ -d "$at" ] || mkdir -- "$at" || exit 1
    else [ -e "$at" ] || : > "$at" || exit 1; fi
  done
}
there() {
  if [ -L "$1" ] || [ ! -e "$1" ]; then fail "$1 is to be read-only, but is a symbolic link or does not exist; make it, or leave it out."; fi
}
`;

/** Descriptors of the set-up: two scripts, the list of the second, the lists of the first, then the held sources. */
const [FIRST_SCRIPT, SECOND_SCRIPT, SECOND_LIST, FIRST_LIST] = [3, 4, 5, 6];

const word = (latin1: string) => quote(Buffer.from(latin1, "latin1"));

/** Lines of bash that perform the calls, and the list that they read from descriptor `fd`. */
function perform(calls: readonly MountCall[], method: ByTools, fd: number): { script: string; list: Buffer } {
  // mount(8) passes over the root in a list.
  const alone = calls.filter((call) => method.single || call.at === "/");
  const listed = calls.filter((call) => !alone.includes(call));
  const lines = alone.map(
    (c) => `${method.tools.mount} -c -t ${c.type} -o ${c.options} ${word(c.from)} ${word(c.at)} || exit 1`,
  );
  if (listed.length > 0) lines.push(`${method.tools.mount} -c -a -T /proc/self/fd/${fd} || exit 1`);
  return { script: lines.join("\n"), list: toFstab(listed) };
}

/** The script that mounts the pieces, and the lists that it reads. */
function mountScript(pieces: readonly Piece[], method: ByTools): { script: string; lists: Buffer[] } {
  const lines = [HEAD];
  /** Behind /proc/self/fd/. */
  const held = new Map<Piece, string>();
  let next = FIRST_LIST + pieces.length;
  const hold = (source: string): number => {
    lines.push(`exec ${next}<${word(source)} || fail ${word(`${source} cannot be opened; may you read it?`)}`);
    return next++;
  };
  // Not every device can be opened by everybody.
  const devices = hold("/dev");
  for (const piece of pieces) {
    const source = piece.kind === "hide" && !piece.directory ? "/dev/null" : piece.source;
    if (source === undefined || piece.kind === "scratch") continue;
    held.set(piece, piece.kind === "node" ? `${devices}/${source.slice("/dev/".length)}` : String(hold(source)));
  }
  const lists: Buffer[] = [];
  let waiting: MountCall[] = [];
  const flush = () => {
    if (waiting.length === 0) return;
    const { script, list } = perform(waiting, method, FIRST_LIST + lists.length);
    lines.push(script);
    lists.push(list);
    waiting = [];
  };
  for (const piece of pieces) {
    const inside = container(pieces, piece);
    if (piece.kind === "readOnly") {
      if (inside?.kind !== "proc") {
        flush();
        lines.push(`there ${word(piece.at)}`);
      }
    } else if (inside) {
      flush();
      const rest = piece.at.slice(inside.at.length + 1);
      lines.push(`point ${word(inside.at)} ${word(rest)} ${piece.directory ? "dir" : "file"}`);
    }
    const at = held.get(piece);
    waiting.push(mountCall(piece, pieces, at === undefined ? (piece.source ?? piece.at) : `/proc/self/fd/${at}`));
    if (piece.kind === "dev") {
      flush();
      for (const [name, to] of DEVICE_LINKS) lines.push(`ln -s ${to} ${word(`${piece.at}/${name}`)} || exit 1`);
    }
    const scratch = pieces.filter((p) => p.kind === "scratch" && p.source!.startsWith(`${piece.at}/${SCRATCH_DIR}/`));
    if (scratch.length > 0) {
      flush();
      for (const { source } of scratch)
        lines.push(`point ${word(piece.at)} ${word(source!.slice(piece.at.length + 1))} dir`);
    }
  }
  flush();
  return { script: lines.join("\n"), lists };
}

/** Namespaces, in the order in which they are entered: as nsenter calls them, and their files. */
const KINDS = [
  ["user", "user"],
  ["mount", "mnt"],
  ["ipc", "ipc"],
  ["net", "net"],
  ["pid", "pid_for_children"],
] as const;

/** SIOCSIFFLAGS with IFF_UP for `lo`, where there is no ip(8). */
const PERL = 'socket(S, 2, 2, 0) && ioctl(S, 0x8914, pack("a16sx22", "lo", 1)) or die "lo: $!\\n"';

/** A line of bash that takes the loopback device of a new network up. Throws a sentence where no program can. */
function loopbackUp(): string {
  const ip = findProgram("ip");
  if (ip) return `${ip} link set lo up || exit 1\n`;
  const perl = findProgram("perl");
  if (perl) return `${perl} -e ${quote(PERL)} || exit 1\n`;
  throw new NoTool("A program that can take up a network device is needed: install iproute2, or perl.");
}

export async function holdWithTools(
  pieces: readonly Piece[],
  method: ByTools,
  network: SandboxSpec["network"],
): Promise<Holder> {
  const holder = await hold(pieces, method, network !== "host");
  if (network === "host") return { ...holder, listener: null };
  try {
    return { ...holder, listener: await listenIn(holder.enterNetwork()!, network.port) };
  } catch (error) {
    await holder.end();
    holder.release();
    throw new Error(`The sandbox has no way to its gateway: ${(error as Error).message}.`);
  }
}

async function hold(pieces: readonly Piece[], method: ByTools, network: boolean): Promise<Omit<Holder, "listener">> {
  const { tools } = method;
  const { script, lists } = mountScript(pieces, method);
  const kinds = KINDS.filter(([name]) => (name !== "user" || method.how === "userns") && (name !== "net" || network));
  const user = method.how === "userns" ? ["--user", "--map-current-user", "--keep-caps"] : [];
  // An ordinary user has none left after the next program; root would keep what can undo the mounts.
  const drop = ["--no-new-privs", "--inh-caps=-all", ...(isRoot() ? [`--bounding-set=${CAPABILITIES}`] : [])];
  // Number 1 keeps a right that nobody beside it has: so none of them may trace it, and undo its death with us.
  const own = user.length > 0 ? ["--inh-caps=-all,+sys_admin", "--ambient-caps=-all,+sys_admin"] : ["--inh-caps=-all"];
  const firstDrop = ["--no-new-privs", ...own, ...(isRoot() ? [`--bounding-set=${CAPABILITIES},+sys_admin`] : [])];
  const setUp = `${network ? loopbackUp() : ""}echo ready; read -r _ || exit 1
${script}
echo mounted; read -r _ || exit 1
. /proc/self/fd/${SECOND_SCRIPT}
echo closed; read -r _ || exit 1
{ for fd in /proc/self/fd/*; do fd=\${fd##*/}; case $fd in [0-2] | *[!0-9]*) ;; *) eval "exec $fd<&-";; esac; done
exec >/dev/null 2>&1
exec ${tools.setpriv} --pdeathsig KILL ${firstDrop.join(" ")} ${tools.bash} --norc --noprofile -c ${quote("while read -r _; do :; done")} ${HOLDER_NAME}; }
`;
  const files = [setUp, "", "", ...lists].map((content) => unnamedFile(content));
  const unshare = [
    tools.unshare,
    ...user,
    "--mount",
    "--pid",
    "--ipc",
    ...(network ? ["--net"] : []),
    "--fork",
    "--kill-child=KILL",
  ];
  const child = spawn(
    tools.setpriv,
    ["--pdeathsig", "KILL", ...unshare, tools.bash, "--norc", "--noprofile", `/proc/self/fd/${FIRST_SCRIPT}`],
    {
      stdio: ["pipe", "pipe", "pipe", ...files],
      cwd: "/",
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      detached: true,
    },
  );
  /** Number 1 of the sandbox. */
  let first: Process | undefined;
  let over = false;
  const ended = new Promise<void>((resolve) => {
    const done = () => {
      over = true;
      resolve();
    };
    child.on("error", done);
    child.on("exit", done);
  });
  const [input, output, errors] = [child.stdin!, child.stdout!, child.stderr!];
  input.on("error", () => {});
  let said = "";
  errors.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4096);
  });
  const says = async (expected: string): Promise<void> => {
    const [chunk] = (await Promise.race([once(output, "data"), ended.then(() => [])])) as [Buffer?];
    if (chunk?.toString() === `${expected}\n`) return;
    await new Promise((resolve) => setImmediate(resolve));
    // What unshare says where the first process was killed, and it fails to die of the same.
    if (said.includes("sigprocmask")) throw new Error("The sandbox ended while it was made; try again.");
    throw new Error(said.trim() || "The namespaces could not be made: what makes them has ended.");
  };
  const namespaces = new Map<string, number>();
  const release = () => {
    for (const fd of namespaces.values()) fs.closeSync(fd);
    namespaces.clear();
  };
  const end = async (): Promise<void> => {
    child.ref();
    input.end();
    const patience = setTimeout(() => {
      // Number 1 is killed by its parent's end too, but only its own death is waited for by its parent.
      send(first?.pid ?? child.pid!, "SIGKILL");
    }, 1000);
    await ended;
    clearTimeout(patience);
    // Where its parent was killed it dies after that.
    if (first) await hasEnded(first);
  };
  try {
    const table = () => parseMounts(fs.readFileSync(`/proc/${child.pid}/mountinfo`));
    await says("ready");
    first = processTable().find((p) => p.parent === child.pid);
    const before = new Set(table().map(nameOf));
    input.write("\n");
    await says("mounted");
    const closing = perform(lockdown(pieces, table()), method, SECOND_LIST);
    writeAt(files[1]!, closing.script);
    writeAt(files[2]!, closing.list);
    input.write("\n");
    await says("closed");
    const wrong = difference(pieces, table(), before);
    if (wrong) throw new Error(`The sandbox would not be what was asked for: ${wrong}.`);
    for (const [name, file] of kinds) namespaces.set(name, fs.openSync(`/proc/${child.pid}/ns/${file}`, "r"));
    input.write("\n");
  } catch (error) {
    await end();
    release();
    throw endedEarly(error);
  } finally {
    for (const fd of files) fs.closeSync(fd);
    output.destroy();
    errors.destroy();
  }
  child.unref();
  // A sandbox in which nothing happens must not keep this process alive.
  (input as Socket).unref();
  // A program that waits for its command, and is stopped with it, would stay behind for ever.
  const into = (names: readonly string[]): string[] => [
    tools.setpriv,
    "--pdeathsig",
    "KILL",
    tools.nsenter,
    ...names.map((name) => `--${name}=/proc/${process.pid}/fd/${namespaces.get(name)}`),
    ...(user.length > 0 ? ["--preserve-credentials"] : []),
    "--",
  ];
  const mine = kinds.map(([name]) => name);
  return {
    pid: first?.pid,
    namespace: fs.readlinkSync(`/proc/self/fd/${namespaces.get("pid")}`),
    alive: () => !over,
    launches: false,
    run: null,
    quiet: (work) => work(),
    end,
    release,
    enter: ({ session } = { session: true }) => [
      ...into(mine),
      tools.setpriv,
      ...drop,
      ...(session ? [tools.setsid] : []),
    ],
    killing: () => null,
    enterNetwork: () => (network ? into(mine.filter((name) => name === "user" || name === "net")) : null),
  };
}
