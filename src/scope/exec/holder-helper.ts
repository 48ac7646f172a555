/** A holder that the scope helper starts. */
import fs from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { helperOf } from "./helper.ts";
import { endedEarly, type Holder } from "./holder.ts";
import { parseMounts, within } from "./mounts.ts";
import type { SandboxSpec } from "./spec.ts";
import { difference, grants, instructions, type Piece } from "./view.ts";

/** Files of the namespaces that a program enters, in this order. */
const KINDS = ["user", "mnt", "ipc", "uts", "cgroup", "net", "pid_for_children"] as const;

const NONE: ReadonlySet<string> = new Set();

export async function holdWithHelper(
  pieces: readonly Piece[],
  { how, helper: program }: { how: "root" | "userns"; helper: string },
  network: SandboxSpec["network"],
): Promise<Holder> {
  const helper = await helperOf(program, how);
  const overlays = [...helper.overlays].map((at) => Buffer.from(at).toString("latin1"));
  const shows = pieces.some(({ mode, source }) => mode === "rw" && overlays.some((at) => source && within(source, at)));
  const renames = shows && helper.renames === "sandbox";
  const held = await helper.open(network, renames, instructions(pieces));
  const namespaces = new Map<(typeof KINDS)[number], number>();
  const release = (): void => {
    for (const fd of namespaces.values()) fs.closeSync(fd);
    namespaces.clear();
  };
  try {
    const wrong = difference(pieces, parseMounts(fs.readFileSync(`/proc/${held.pid}/mountinfo`)), NONE);
    if (wrong) throw new Error(`The sandbox would not be what was asked for: ${wrong}.`);
    const kinds = KINDS.filter(
      (kind) => (kind !== "user" || how === "userns") && (kind !== "net" || network !== "host"),
    );
    for (const kind of kinds) namespaces.set(kind, fs.openSync(`/proc/${held.pid}/ns/${kind}`, "r"));
  } catch (error) {
    await held.end();
    release();
    throw endedEarly(error);
  }
  let wanted = 0;
  const quiet = async <T>(work: () => Promise<T>): Promise<T> => {
    if (!renames) return work();
    // Of a helper that is gone nothing is left.
    const tell = () => held.quiet(wanted).catch(() => true);
    wanted++;
    try {
      while (!(await tell())) await sleep(2);
      return await work();
    } finally {
      wanted--;
      await tell();
    }
  };
  const files = (these: Iterable<(typeof KINDS)[number]>): string[] =>
    [...these].map((kind) => `/proc/${process.pid}/fd/${namespaces.get(kind)}`);
  return {
    pid: held.pid,
    namespace: fs.readlinkSync(`/proc/self/fd/${namespaces.get("pid_for_children")}`),
    alive: held.alive,
    run:
      held.run && ((descriptors, words, wall) => held.run!(descriptors, [...(wall ? grants(pieces) : []), ...words])),
    listener: held.listener,
    launches: true,
    quiet,
    end: () => quiet(held.end),
    release,
    enter: ({ session, wall } = { session: true }) => [
      program,
      "enter",
      ...(session ? ["session"] : []),
      ...(renames ? ["renames", String(held.pid)] : []),
      ...(wall ? grants(pieces) : []),
      ...files(namespaces.keys()),
      "--",
    ],
    killing: () => [program, "enter", "kill", ...files(namespaces.keys()), "--"],
    enterNetwork: () =>
      namespaces.has("net") ? [program, "enter", ...files(how === "userns" ? ["user", "net"] : ["net"]), "--"] : null,
  };
}
