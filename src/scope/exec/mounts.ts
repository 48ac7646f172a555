/**
 * Reading and writing the kernel's mount tables. Paths are byte strings (latin1): one character is one byte.
 */
export interface Mount {
  id: number;
  parent: number;
  at: string;
  type: string;
  /** Flags of the mount itself, not of its file system: `ro`, `nosuid`, … */
  flags: string[];
  /** Whether the file system itself is read-only. */
  frozen: boolean;
}

const decode = (field: string) => field.replace(/\\([0-7]{3})/g, (_, o) => String.fromCharCode(Number.parseInt(o, 8)));
const encode = (field: string) =>
  field.replace(/[ \t\n\r\\#]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, "0")}`);

/** Parses the bytes of /proc/PID/mountinfo. */
export function parseMounts(info: Buffer): Mount[] {
  const mounts: Mount[] = [];
  for (const line of info.toString("latin1").split("\n")) {
    const fields = line.split(" ");
    const dash = fields.indexOf("-", 6);
    if (dash < 0) continue;
    mounts.push({
      id: Number(fields[0]),
      parent: Number(fields[1]),
      at: decode(fields[4]!),
      flags: fields[5]!.split(","),
      type: fields[dash + 1]!,
      frozen: (fields[dash + 3] ?? "").split(",").includes("ro"),
    });
  }
  return mounts;
}

/** Names a mount. Its number alone is given again when it goes, as that of the host does whose directory somebody removes meanwhile. */
export const nameOf = ({ id, at }: Mount): string => `${id} ${at}`;

/** Whether `path` is `folder` or lies below it. */
export const within = (path: string, folder: string): boolean =>
  folder === "/" || path === folder || path.startsWith(`${folder}/`);

/** The mounts that a path can still reach: those on which no later one lies. */
export function visible(mounts: readonly Mount[]): Mount[] {
  const ids = new Set(mounts.map((m) => m.id));
  const on = new Map<string, Mount>();
  for (const m of mounts) on.set(`${m.parent} ${m.at}`, m);
  const top = (m: Mount): Mount => {
    const above = on.get(`${m.id} ${m.at}`);
    return above && above !== m ? top(above) : m;
  };
  const bottom = mounts.find((m) => m.at === "/" && (!ids.has(m.parent) || m.parent === m.id));
  if (!bottom) return [];
  const root = top(bottom);
  return mounts.filter((mount) => {
    let here = root;
    if (mount.at !== "/") {
      for (let end = 0; end < mount.at.length; ) {
        const next = mount.at.indexOf("/", end + 1);
        end = next < 0 ? mount.at.length : next;
        const above = on.get(`${here.id} ${mount.at.slice(0, end)}`);
        if (above) here = top(above);
      }
    }
    return here === mount;
  });
}

/** One call of mount(8). */
export interface MountCall {
  from: string;
  at: string;
  type: string;
  options: string;
}

/** Flags that a bind remount must name again: a user namespace may not drop those it inherited. */
const KEEP = ["nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "nosymfollow"];

/** The call that makes one mount read-only, or keeps its devices from being opened, and leaves its other flags. */
export const hold = (mount: Mount, { ro, nodev }: { ro: boolean; nodev: boolean }): MountCall => ({
  from: "none",
  at: mount.at,
  type: "none",
  options: [
    ...["remount", "bind"],
    ...(ro || mount.flags.includes("ro") ? ["ro"] : []),
    ...(nodev ? ["nodev"] : []),
    ...mount.flags.filter((flag) => KEEP.includes(flag)),
  ].join(","),
});

/** The calls as lines for `mount --all --fstab`. */
export const toFstab = (calls: readonly MountCall[]): Buffer =>
  Buffer.from(calls.map((c) => `${encode(c.from)} ${encode(c.at)} ${c.type} ${c.options} 0 0\n`).join(""), "latin1");
