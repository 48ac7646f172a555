/** Why this host makes no namespaces, and the one command that would help. */
import fs from "node:fs";
import { PROFILE } from "./apparmor.ts";
import { findHelper } from "./helper.ts";

/** What is asked of a host. */
export interface Host {
  root: boolean;
  /** A setting of the kernel, by its path below /proc/sys; "" where there is none. */
  setting(name: string): string;
  /** Whether the kernel has user namespaces at all. */
  userns: boolean;
  container: boolean;
  /** Whether a filter of calls (seccomp) was put on this process. */
  filtered: boolean;
  helper: string | null;
  /** Whether there is a file with a profile of AppArmor's for the helper. */
  profile: boolean;
}

const read = (file: string): string => {
  try {
    return fs.readFileSync(file, "latin1").trim();
  } catch {
    return "";
  }
};

export const thisHost = (): Host => ({
  root: process.getuid?.() === 0,
  setting: (name) => read(`/proc/sys/${name}`),
  userns: fs.existsSync("/proc/self/ns/user"),
  container: ["/.dockerenv", "/run/.containerenv"].some((file) => fs.existsSync(file)) || "container" in process.env,
  filtered: /^Seccomp:\s*2$/m.test(read("/proc/self/status")),
  helper: findHelper(),
  profile: fs.existsSync(PROFILE),
});

/** @param said what the last try said */
export function whyDenied(said: string, host: Host = thisHost()): string {
  const off = (name: string, value: number) =>
    `The system does not let users make namespaces (${name.replaceAll("/", ".")} is 0); \`sudo sysctl -w ${name.replaceAll("/", ".")}=${value}\` allows it.`;
  const reason = said.replace(/[.\s]+$/, "");
  if (!host.userns)
    return "This kernel has no user namespaces, and only root can do without; start Shepherd in a virtual machine with another kernel.";
  if (host.setting("user/max_user_namespaces") === "0") return off("user/max_user_namespaces", 10000);
  if (!host.root) {
    if (host.setting("kernel/unprivileged_userns_clone") === "0") return off("kernel/unprivileged_userns_clone", 1);
    if (host.setting("kernel/apparmor_restrict_unprivileged_userns") === "1") return byAppArmor(host);
  }
  if (host.container) {
    const how = host.filtered ? ", by a filter of calls (seccomp)" : "";
    return `This container may not make namespaces${how} (${reason}); start it with \`docker run --privileged\`.`;
  }
  if (host.filtered)
    return `Shepherd was started under a filter of calls (seccomp) that denies namespaces (${reason}), as sandboxes and some services have one; \`systemd-run --user --pty bash\` starts a shell outside of it.`;
  return `Namespaces cannot be made here (${reason}); try \`unshare --user --map-current-user --mount --pid --fork true\` to see why.`;
}

function byAppArmor({ helper, profile }: Host): string {
  const what =
    "AppArmor denies namespaces to programs without a profile (kernel.apparmor_restrict_unprivileged_userns is 1)";
  if (helper === null)
    return `${what}, and Shepherd's helper, which could have one, is not there: \`npm run build\` where a C compiler is brings it.`;
  if (profile)
    return `${what}; that of Shepherd's helper is not loaded, or is for another path: \`shepherd doctor --apparmor\` prints the one for ${helper}.`;
  return `${what}; \`shepherd doctor --apparmor\` prints one for Shepherd's helper, and how it is installed.`;
}
