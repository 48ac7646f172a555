/** A holder that the scope helper starts. */
import fs from "node:fs";
import { helperOf } from "./helper.ts";
import { endedEarly, type Holder } from "./holder.ts";
import { parseMounts } from "./mounts.ts";
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
  const held = await (await helperOf(program, how)).open(network, instructions(pieces));
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
    end: held.end,
    release,
    enter: ({ session, wall } = { session: true }) => [
      program,
      "enter",
      ...(session ? ["session"] : []),
      ...(wall ? grants(pieces) : []),
      ...files(namespaces.keys()),
      "--",
    ],
    killing: () => [program, "enter", "kill", ...files(namespaces.keys()), "--"],
    enterNetwork: () =>
      namespaces.has("net") ? [program, "enter", ...files(how === "userns" ? ["user", "net"] : ["net"]), "--"] : null,
  };
}
