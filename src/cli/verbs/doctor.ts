/** `shepherd doctor`: what this machine allows, and what would help. */
import { accessSync, constants, existsSync, realpathSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { hasLayers } from "../../scope/driver.ts";
import { detect } from "../../scope/exec/abilities.ts";
import { INSTALL, PROFILE, profileFor, REMOVE } from "../../scope/exec/apparmor.ts";
import { findHelper, whyNoHelper } from "../../scope/exec/helper.ts";
import { holdingHere } from "../../scope/exec/limit.ts";
import { checkQuota, explainQuota } from "../../trace/quota.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { storeDirectory } from "../context.ts";
import { Exit } from "../errors.ts";
import type { Output } from "../output.ts";
import type { Verb } from "../verb.ts";
import { sizeText } from "../words.ts";

/** Says how something stands. */
export type Tell = (what: string, state: "ok" | "limited" | "unfit", text: string) => void;

export const verb: Verb = {
  brief: "what this machine allows, and what would help",
  usage: "[AGENT] [--apparmor]",
  most: 1,
  options: {
    apparmor: {
      type: "boolean",
      help: "print a profile of AppArmor's for Shepherd's helper, where users may make no namespaces without one",
    },
  },
  details:
    "With the command of a coding agent (`shepherd doctor claude`) it tells beforehand what would fail or be less exact in a run of it.",
  agents: true,
  run: async (context, flags, args) => {
    const { out } = context;
    if (flags.apparmor) return tellProfile(out, args);
    const checkAgent = args[0] === undefined ? null : (await import("../agentcheck.ts")).agentCheck(args[0]);
    let unfit = false;
    const tell: Tell = (what, state, text) => {
      if (state === "unfit") unfit = true;
      out.object({ check: what, state, text });
      const mark =
        state === "ok"
          ? out.style("green", "ok     ")
          : state === "limited"
            ? out.style("yellow", "limited")
            : out.style("red", "unfit  ");
      out.say(`${mark} ${what.padEnd(10)} ${text}`, 19);
    };
    const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
    const fits = major > 20 || (major === 20 && minor >= 19);
    tell(
      "node",
      fits ? "ok" : "unfit",
      `Node ${process.versions.node}${fits ? "" : "; Shepherd needs 20.19 or newer"}`,
    );
    const directory = storeDirectory();
    const found = existsSync(directory) ? statSync(directory) : null;
    const why = unwritable(directory);
    if (found && !found.isDirectory())
      tell("store", "unfit", `${directory} is no directory: name another one in SHEPHERD_DIR`);
    else if (why) tell("store", "unfit", why);
    else if (found && (found.mode & 0o077) !== 0)
      tell("store", "limited", `${directory} can be read by other users: chmod 700 ${directory}`);
    else tell("store", "ok", directory);
    let store: EmbeddedStore | null = null;
    try {
      store = await context.store();
      const quota = await checkQuota(store);
      tell(
        "room",
        quota.state === "ok" ? "ok" : quota.state === "warn" ? "limited" : "unfit",
        quota.state === "ok" ? `${sizeText(quota.used)} of ${sizeText(quota.limit)} used` : explainQuota(quota),
      );
    } catch (error) {
      tell("room", "unfit", (error as Error).message);
    }
    const abilities = await detect();
    if (abilities.samePath)
      tell(
        "sandbox",
        "ok",
        `commands see the files of a run at the path of yours (${abilities.how === "root" ? "as root" : "in a user namespace"})`,
      );
    else tell("sandbox", "limited", `commands see the files of a run at a path of their own. ${abilities.why ?? ""}`);
    if (abilities.helper) {
      tell("helper", "ok", "sandboxes are made by Shepherd's own helper");
      if (abilities.landlock)
        tell(
          "landlock",
          "ok",
          `what a run may write to is held twice: by mounts, and by Landlock ${abilities.landlock}`,
        );
      else
        tell(
          "landlock",
          "limited",
          "what a run may write to is held by mounts alone: Landlock takes Linux 5.19 or newer, with `landlock` among the security modules that it starts with (`lsm=`)",
        );
    } else if (abilities.samePath)
      tell(
        "helper",
        "limited",
        `programs of the system make sandboxes, more slowly, and no call of the kernel is kept from commands. ${abilities.noHelper ?? ""}`,
      );
    if (store && abilities.samePath) {
      if (await hasLayers(store))
        tell("layers", "ok", "runs of a directory share one copy of it: a fork is quick, however large it is");
      else
        tell(
          "layers",
          "limited",
          `each run has a copy of the directory of its own: sharing one takes the helper, ${abilities.how === "root" ? "" : "Linux 5.19 or later, "}and a store on a file system that overlays can lie on`,
        );
    }
    const { memory, processes } = await holdingHere();
    if (memory === "held" && processes === "held")
      tell("limits", "ok", "--memory and --processes are held for all processes of a run together");
    else
      tell(
        "limits",
        "limited",
        `${memory === "held" ? "--memory is held" : memory === "each" ? "--memory is held for each process by itself" : "--memory is not held"}, ${processes === "held" ? "--processes is held" : "--processes is not"}: no control group can be made for the rest. As root, or in a session of systemd's (\`systemd-run --user --scope -p Delegate=yes bash\`), it can`,
      );
    await checkAgent?.(tell);
    if (process.platform !== "linux")
      tell("platform", "limited", `${process.platform} is not tried yet; Linux is, and Windows through WSL2`);
    if (!checkAgent)
      out.say('`shepherd doctor claude` (or codex) looks at your agent too; `shepherd run claude "TASK"` runs it.');
    return unfit ? 4 : undefined;
  },
};

/** The profile on standard output, what to do with it beside. */
function tellProfile(out: Output, args: readonly string[]): undefined {
  if (args.length > 0) throw new Exit(2, "--apparmor is not about an agent: `shepherd doctor --apparmor`.");
  const helper = findHelper();
  if (!helper) throw new Exit(4, `There is no helper that a profile could be for. ${whyNoHelper()}`);
  const profile = profileFor(realpathSync(helper));
  const install = `shepherd doctor --apparmor | ${INSTALL}`;
  out.object({ profile, file: PROFILE, install, remove: REMOVE });
  for (const line of profile.trimEnd().split("\n")) out.line(line);
  out.warn(`shepherd: Install it by \`${install}\`.`);
  out.warn(`shepherd: Remove it by \`${REMOVE}\`.`);
  return undefined;
}

/** Why nothing can be written into a directory, or into the one in which it would be made; null if it can. */
function unwritable(directory: string): string | null {
  let place = directory;
  while (!existsSync(place) && dirname(place) !== place) place = dirname(place);
  const above = place === directory ? "" : `, in which ${directory} would be made,`;
  try {
    accessSync(place, constants.W_OK);
    return null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EROFS")
      return `${place}${above} is on a file system that is mounted read-only: mount it writable, or name another directory in SHEPHERD_DIR`;
    return `${place}${above} cannot be written by this user: chmod u+w ${place}, or name another directory in SHEPHERD_DIR`;
  }
}
