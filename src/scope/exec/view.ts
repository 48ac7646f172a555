import fs from "node:fs";
import path from "node:path";
import { hold, type Mount, type MountCall, nameOf, visible, within } from "./mounts.ts";
import { type Bind, type SandboxSpec, SCRATCH, SCRATCH_DIR } from "./spec.ts";

/** One mount of a sandbox. Paths are byte strings (latin1). */
export interface Piece {
  kind:
    | "root"
    | "bind"
    | "tmp"
    | "writable"
    | "hide"
    | "readOnly"
    | "scratch"
    | "proc"
    | "dev"
    | "node"
    | "pts"
    | "shm";
  at: string;
  mode: "rw" | "ro";
  /** Host path of a bind, or of a device; held open before anything is covered. */
  source?: string;
  directory: boolean;
}

/** A sandbox as an ordered list of mounts, parents first, and the variables that make up for missing mount points. */
export interface View {
  pieces: Piece[];
  env: Record<string, string>;
}

const bytes = (text: string) => Buffer.from(text).toString("latin1");
const show = (at: string) => JSON.stringify(Buffer.from(at, "latin1").toString());
const exists = (at: string) => fs.existsSync(Buffer.from(at, "latin1"));
const isDirectory = (at: string) => fs.statSync(Buffer.from(at, "latin1")).isDirectory();

/** The path without links, as far as it exists on the host. */
function real(at: string): string {
  for (let end = at.length; end > 0; end = at.lastIndexOf("/", end - 1)) {
    const head = at.slice(0, end);
    // Most do not, and an error takes longer to make than to look.
    if (!exists(head)) continue;
    try {
      return path.posix.normalize(fs.realpathSync.native(Buffer.from(head, "latin1"), "latin1") + at.slice(end));
    } catch {
      // It went meanwhile: look at its parent.
    }
  }
  return at;
}

function absolute(what: string, given: string): string {
  const at = path.posix.normalize(bytes(given)).replace(/(.)\/+$/, "$1");
  if (!at.startsWith("/") || at === "/" || given.includes("\0"))
    throw new TypeError(`${what} ${JSON.stringify(given)} must be an absolute path below /.`);
  return at;
}

const RANK: Piece["kind"][] = [
  "root",
  "proc",
  "dev",
  "node",
  "pts",
  "shm",
  "tmp",
  "bind",
  "writable",
  "readOnly",
  "hide",
  "scratch",
];
const depth = (at: string) => (at === "/" ? 1 : at.split("/").length);
/** A path in a directory as one from there. */
const rest = (at: string, folder: string) => at.slice(folder === "/" ? 1 : folder.length + 1);

/** Plans the mounts of a sandbox. Throws where a path cannot be shown as asked. */
export function planView(spec: SandboxSpec, root: boolean): View {
  const ownRoot = spec.root === undefined ? null : real(absolute("The root", spec.root));
  const tmps = ownRoot ? ["/tmp", "/var/tmp"] : [...new Set(["/tmp", "/var/tmp"].filter(exists).map(real))];
  /** Paths that show something else than the host's, as given and as they are. */
  const covers = ["/tmp", "/var/tmp"].map((at) => ({ given: at, at: ownRoot ? at : real(at) }));
  /** Where a path inside will be: links of the host count only where the host is seen. */
  const place = (given: string): string => {
    if (ownRoot) return given;
    const cover = covers.filter((c) => within(given, c.given)).sort((a, b) => depth(b.given) - depth(a.given))[0];
    return cover ? cover.at + given.slice(cover.given.length) : real(given);
  };
  const pieces = new Map<string, Piece>();
  const add = (piece: Piece) => {
    if (!pieces.has(piece.at)) pieces.set(piece.at, piece);
  };
  const under = (at: string) =>
    [...pieces.values()].filter((p) => within(at, p.at)).sort((a, b) => depth(b.at) - depth(a.at))[0];

  if (ownRoot) add({ kind: "root", at: "/", mode: "rw", source: ownRoot, directory: true });
  const binds = spec.binds.map(({ from, to, mode }) => ({ from, mode, given: absolute("The target", to) }));
  for (const { from, mode, given } of binds.sort((a, b) => depth(a.given) - depth(b.given))) {
    const [source, at] = [real(absolute("The source", from)), place(given)];
    if (pieces.has(at)) throw new TypeError(`Two binds are to be seen at ${show(given)}; leave one out.`);
    if (!exists(source)) throw new Error(`${show(source)} does not exist and cannot be shown; make it first.`);
    add({ kind: "bind", at, mode, source, directory: isDirectory(source) });
    covers.push({ given, at });
  }
  for (const one of spec.writable ?? []) {
    const at = real(absolute("The writable path", one));
    if (!exists(at)) throw new Error(`The writable path ${JSON.stringify(one)} does not exist; make it first.`);
    add({ kind: ownRoot ? "bind" : "writable", at, mode: "rw", source: at, directory: isDirectory(at) });
  }
  for (const at of tmps) add({ kind: "tmp", at, mode: "rw", source: real(absolute("tmp", spec.tmp)), directory: true });
  if (ownRoot)
    for (const at of FROM_HOST)
      if (exists(at)) add({ kind: "bind", at, mode: "ro", source: real(at), directory: isDirectory(at) });
  add({ kind: "proc", at: "/proc", mode: "rw", directory: true });
  if (root)
    for (const name of SETTINGS)
      if (exists(`/proc/${name}`)) add({ kind: "readOnly", at: `/proc/${name}`, mode: "ro", directory: true });
  // Disks, the kernel's log and other people's terminals are devices, too.
  add({ kind: "dev", at: "/dev", mode: "ro", directory: true });
  for (const name of devices()) {
    const at = `/dev/${name}`;
    add({ kind: "node", at, mode: "ro", source: at, directory: isDirectory(at) });
  }
  add({ kind: "pts", at: "/dev/pts", mode: "rw", directory: true });
  add({ kind: "shm", at: "/dev/shm", mode: "rw", directory: true });

  const shown = [...pieces.values()].filter((p) => p.source !== undefined);
  for (const one of spec.hide ?? []) {
    const at = real(absolute("The hidden path", one));
    if (!exists(at)) continue;
    const directory = isDirectory(at);
    const elsewhere = shown.filter((p) => at !== p.source && within(at, p.source!));
    for (const seen of [...(ownRoot ? [] : [at]), ...elsewhere.map((p) => p.at + at.slice(p.source!.length))]) {
      const above = under(seen);
      const through = above?.source !== undefined && within(at, above.source);
      if (!above || (through && above.at + at.slice(above.source!.length) === seen && above.at !== seen))
        add({ kind: "hide", at: seen, mode: "ro", directory });
    }
  }
  const env: Record<string, string> = {};
  const scratch = [...pieces.values()].find((p) => p.kind === "tmp");
  const home = spec.env.HOME;
  if (scratch && home?.startsWith("/") && !ownRoot) {
    for (const { path: name, variable } of SCRATCH) {
      const at = real(absolute("HOME", `${home}/${name}`));
      const above = under(at);
      if (above?.mode === "rw") continue;
      if (exists(at) && !above)
        add({ kind: "scratch", at, mode: "rw", source: `${scratch.at}/${SCRATCH_DIR}/${name}`, directory: true });
      else if (variable && spec.env[variable] === undefined) env[variable] = `/tmp/${SCRATCH_DIR}/${name}`;
    }
  }
  for (const one of spec.readOnly ?? []) {
    const at = place(absolute("The read-only path", one));
    const same = pieces.get(at);
    if (same) same.mode = "ro";
    else add({ kind: "readOnly", at, mode: "ro", directory: true });
  }
  const order = (a: Piece, b: Piece) => depth(a.at) - depth(b.at) || RANK.indexOf(a.kind) - RANK.indexOf(b.kind);
  const sorted = [...pieces.values()].sort(order);
  for (const piece of sorted) {
    if (exists(piece.at) || container(sorted, piece)) continue;
    throw new Error(`Nothing can be shown at ${show(piece.at)}, which does not exist on this host; make it first.`);
  }
  return { pieces: sorted, env };
}

/** What an image has nothing of: the kernel's devices as it tells of them, and how names are found. */
export const FROM_HOST = ["/sys", "/etc/resolv.conf", "/etc/hosts"] as const;

/** Where something is mounted in every root of a run's own. */
export const MOUNTED: readonly string[] = ["/proc", "/dev", "/tmp", "/var/tmp", ...FROM_HOST];

/** Below /proc: by these whoever is root, with whatever rights, changes the machine; /proc/scsi takes disks away. */
const SETTINGS = [
  ...["sys", "sysrq-trigger", "irq", "bus"],
  ...["acpi", "asound", "driver", "dynamic_debug", "fs", "mtrr", "scsi"],
];

/** Devices that harm nobody, and those by which programs compute. */
const DEVICES = /^(null|zero|full|u?random|tty|kvm|dri|kfd|dxg|nvidia.*)$/;
const devices = (): string[] => fs.readdirSync("/dev").filter((name) => DEVICES.test(name) && !isLink(`/dev/${name}`));
const isLink = (at: string): boolean => fs.lstatSync(at).isSymbolicLink();

/** Links that stand in /dev everywhere. */
export const DEVICE_LINKS: ReadonlyArray<readonly [name: string, to: string]> = [
  ["fd", "/proc/self/fd"],
  ["stdin", "/proc/self/fd/0"],
  ["stdout", "/proc/self/fd/1"],
  ["stderr", "/proc/self/fd/2"],
  ["ptmx", "pts/ptmx"],
];

/** The piece of the sandbox in which a mount point may have to be made; undefined where the host itself has it. */
export const container = (pieces: readonly Piece[], piece: Piece): Piece | undefined =>
  pieces
    .filter((p) => p !== piece && p.kind !== "writable" && within(piece.at, p.at))
    .sort((a, b) => depth(b.at) - depth(a.at))[0];

/** What stands for the device of a file system that has none. */
const OURS = "shepherd";

/** How a piece is mounted; `held` is the path of its opened source. */
export function mountCall(piece: Piece, pieces: readonly Piece[], held: string): MountCall {
  const bind = { from: held, at: piece.at, type: "none", options: piece.mode === "ro" ? "rbind,ro" : "rbind" };
  switch (piece.kind) {
    case "proc":
      // mount(8) passes over a file system that seems to be there already; by this name it is not.
      return { from: OURS, at: piece.at, type: "proc", options: "nosuid,nodev,noexec" };
    case "dev":
      return { from: OURS, at: piece.at, type: "tmpfs", options: "nosuid,noexec,size=64k,mode=755" };
    case "pts":
      return { from: OURS, at: piece.at, type: "devpts", options: "nosuid,noexec,newinstance,ptmxmode=0666,mode=620" };
    case "shm":
      return { from: OURS, at: piece.at, type: "tmpfs", options: "nosuid,nodev,mode=1777" };
    case "hide": {
      if (!piece.directory) return bind;
      // Mount points may have to be made in it: it becomes read-only with the host, later.
      const nested = isAround(pieces, piece);
      return {
        from: OURS,
        at: piece.at,
        type: "tmpfs",
        options: `nosuid,nodev,noexec,size=64k,mode=755${nested ? "" : ",ro"}`,
      };
    }
    default:
      return bind;
  }
}

/** What the helper is to do for a view: see native/mounts.c. Words are byte strings (latin1). */
export function instructions(pieces: readonly Piece[]): string[] {
  const sources: string[] = [];
  const words: string[] = [];
  const point = (at: string, below: string, kind: "dir" | "file"): void =>
    void words.push("point", at, rest(below, at), kind);
  for (const piece of pieces) {
    const { kind, at, mode } = piece;
    const inside = container(pieces, piece);
    const source = kind === "hide" && !piece.directory ? "/dev/null" : piece.source;
    if (inside && kind !== "readOnly") point(inside.at, at, piece.directory ? "dir" : "file");
    if (kind === "root") words.push("root", String(sources.push(source!) - 1));
    else if (kind === "proc") words.push("proc", at);
    else if (kind === "dev") {
      words.push("tmpfs", at, "64k", "755", "x");
      for (const [name, to] of DEVICE_LINKS) words.push("link", at, name, to);
    } else if (kind === "pts") words.push("pts", at);
    else if (kind === "shm") words.push("tmpfs", at, "-", "1777", "-");
    else if (kind === "hide" && piece.directory) {
      // Mount points may have to be made in it: it becomes read-only when all is there.
      words.push("tmpfs", at, "64k", "755", isAround(pieces, piece) ? "x" : "rx");
    } else if (kind === "readOnly" || kind === "scratch") words.push("bind", source ?? at, at, mode);
    else words.push("put", String(sources.push(source!) - 1), at, isDevice(piece) ? `${mode}+dev` : mode);
    for (const { source } of pieces.filter((p) => p.kind === "scratch"))
      if (source!.startsWith(`${at}/${SCRATCH_DIR}/`)) point(at, source!, "dir");
  }
  const isSealed = (piece: Piece): boolean =>
    piece.kind === "dev" || (piece.kind === "hide" && piece.directory && isAround(pieces, piece));
  const sealed = pieces.filter(isSealed);
  return [
    ...sources.flatMap((source) => ["take", source]),
    // There is nothing of the host to be locked where it is gone.
    ...(pieces.some(({ kind }) => kind === "root") ? [] : ["lock"]),
    ...words,
    ...sealed.flatMap(({ at }) => ["seal", at]),
  ];
}

/** What a program behind Landlock may write to: see native/wall.c. Bytes that cannot stand in an argument stand as % and two digits. */
export function grants(pieces: readonly Piece[]): string[] {
  const all = pieces.filter(({ kind, mode }) => mode === "rw" && kind !== "proc" && kind !== "pts");
  const there = pieces.filter(({ kind }) => kind === "proc" || kind === "dev" || kind === "pts");
  const escaped = (at: string): string =>
    at.replace(/[%\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, "0")}`);
  return [...all.map(({ at }) => `+${escaped(at)}`), ...there.map(({ at }) => `~${escaped(at)}`)];
}

const isAround = (pieces: readonly Piece[], piece: Piece): boolean =>
  pieces.some((p) => p !== piece && within(p.at, piece.at));

/** The piece that decides about a mount at `at`. */
const owner = (pieces: readonly Piece[], at: string): Piece | undefined =>
  pieces.filter((p) => within(at, p.at)).sort((a, b) => depth(b.at) - depth(a.at))[0];

const readOnly = (mount: Mount) => mount.frozen || mount.flags.includes("ro");

/** Whether what is shown there are devices, also such as the user gives: where there are none to be, a node that lies about leads to a disk all the same. */
const isDevice = ({ kind, at, directory }: Piece): boolean =>
  kind === "node" || kind === "pts" || (kind === "hide" && !directory) || (kind === "writable" && within(at, "/dev"));

/** What is still to be held: mounts that are to be read-only, or without devices, given the mounts as they are. */
export const lockdown = (pieces: readonly Piece[], mounts: readonly Mount[]): MountCall[] =>
  visible(mounts).flatMap((mount) => {
    const piece = owner(pieces, mount.at);
    const ro = !readOnly(mount) && (piece?.mode ?? "ro") === "ro";
    const nodev = !mount.flags.includes("nodev") && !(piece && isDevice(piece));
    return ro || nodev ? [hold(mount, { ro, nodev })] : [];
  });

/** The first way in which the mounts differ from the plan, in words; null if they do not. `before`: names of mounts that are the host's. */
export function difference(
  pieces: readonly Piece[],
  mounts: readonly Mount[],
  before: ReadonlySet<string>,
): string | null {
  const seen = new Map(visible(mounts).map((m) => [m.at, m]));
  for (const piece of pieces) {
    const mount = seen.get(piece.at);
    if (!mount || before.has(nameOf(mount)))
      return `nothing was mounted at ${show(piece.at)} (is there a symbolic link in it?)`;
    if (piece.mode === "rw" && mount.flags.includes("ro")) return `${show(piece.at)} is read-only on the host already`;
  }
  const stray = visible(mounts).find(({ at }) => at !== "/" && owner(pieces, at)?.kind === "root");
  if (stray) return `the host is still seen, at ${show(stray.at)}`;
  const left = lockdown(pieces, mounts)[0];
  return left
    ? `the mount at ${show(left.at)} could not be made ${/\bro\b/.test(left.options) ? "read-only" : "one without devices"}`
    : null;
}

/**
 * The host path that a path inside stands for (`out`), or back (`in`), by the binds alone: for hosts without namespaces.
 * Paths are byte strings (latin1).
 */
export function translate(binds: readonly Bind[], at: string, way: "out" | "in"): string {
  let best: { length: number; path: string } | null = null;
  for (const bind of binds) {
    const [from, to] = [bytes(bind.from), bytes(bind.to)];
    for (const end of way === "out" ? [to] : [from, real(from)])
      if (within(at, end) && (!best || end.length > best.length))
        best = { length: end.length, path: (way === "out" ? from : to) + at.slice(end.length) };
  }
  return best?.path ?? at;
}
