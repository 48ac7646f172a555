/** What it means that a path is deleted, emptied, or made unusable. */
import { posix } from "node:path";
import { quote } from "../quote.ts";
import { type Arg, matches } from "../shell/expand.ts";
import type { Verdict } from "./severity.ts";

/** What is known of a path. `own`: made by the worker itself. */
export type PathKind = "committed" | "uncommitted" | "ignored" | "own" | "absent";

/** Where a call would run. */
export interface Place {
  /** Absolute, as `cwd` and `home`. */
  workspace: string;
  cwd: string;
  home: string;
  /** What is known of a path of the workspace, relative to it. */
  kind?: (path: string) => PathKind | undefined;
  /** Variables that are known beside `HOME` and `PWD`. */
  env?: { readonly [name: string]: string };
}

/** Directories and files that tools make, and make again. */
const GENERATED =
  "node_modules bower_components dist build out output target coverage htmlcov .coverage .coverage.* .nyc_output .next .nuxt .svelte-kit .output .turbo .parcel-cache .vite .cache .eslintcache .stylelintcache __pycache__ *.pyc *.pyo .pytest_cache .mypy_cache .ruff_cache .hypothesis .tox .nox .venv venv *.egg-info .eggs .gradle .dart_tool obj *.o *.a *.so *.obj *.class *.tsbuildinfo *.log logs tmp temp .tmp .temp tmp_* tmp-* tmp.* temp_* temp-* scratch* *.tmp *.temp *.bak *.orig *.rej *.swp *.swo *~ .DS_Store Thumbs.db *.pid *.lock.tmp CMakeCache.txt CMakeFiles cmake-build-* _build .terraform.tmp .bundle .sass-cache storybook-static test-results playwright-report *.prof *.gcda *.gcno".split(
    " ",
  );
/** What no tool makes again, though it is often ignored. */
const PRECIOUS =
  ".env .env.* *.pem *.key *.p12 *.sqlite *.sqlite3 *.db *.mdb *.kdbx id_rsa id_ed25519 terraform.tfstate *.tfstate".split(
    " ",
  );
const HARMLESS_PRECIOUS = /^\.env\.(?:example|sample|template|dist)$/;
/** Temporary directories of the machine. */
const TEMPORARY = ["/tmp", "/var/tmp", "/dev/shm", "/private/tmp"];
const SINKS = ["/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/zero"];
const DEVICE = /^\/dev\/(?:sd|hd|vd|xvd|nvme|mmcblk|disk|mapper|md|dm-|loop|mem|kmem|sr|nbd)/;
/** In the home directory, what tools make again. */
const HOME_CACHES = [".cache", "node_modules", "__pycache__", ".npm", ".pytest_cache"];

/** Whether a name is one of these. They are asked for each path of each command. */
function named(names: readonly string[]): (name: string) => boolean {
  const plain = new Set(names);
  const patterns = names.filter((each) => each.includes("*"));
  return (name) => plain.has(name) || patterns.some((each) => matches(each, name));
}

/** Also a pattern, as `*.pyc`: it takes nothing but what it says. */
export const isGenerated = named(GENERATED);
const isPrecious = named(PRECIOUS);

const show = (text: string): string => quote(text, 80);
const verdict = (severity: Verdict["severity"], reason: string): Verdict => ({ severity, reason });

export type How = "delete" | "empty";

export interface Meant {
  how: How;
  /** With all that is below it. */
  recursive: boolean;
}

/** What it means that this happens to what an argument names. */
export function onPath(given: Arg, place: Place, { how, recursive }: Meant): Verdict {
  const { text, unknown } = given;
  const does = how === "delete" ? "deletes" : "empties";
  if (text === "" && !unknown) return verdict("nothing", "It names no file.");
  const path = posix.resolve(place.cwd, text);
  if (unknown) {
    // What stands before the unknown part may settle it; and if that is empty, what is left is what is meant.
    if (isTemporary(path, place)) return verdict("regenerable", `It ${does} something temporary.`);
    if (text.startsWith("/") && (recursive || given.glob) && reaches(path.replace(/\/\*+$/, "") || "/", place))
      return verdict("outside", `It ${does} ${show(path)} if a variable is empty.`);
    if (parts(text).some(isGenerated)) return verdict("regenerable", `It ${does} what is made again.`);
    return verdict("limited", `What it ${does} cannot be told.`);
  }
  if (SINKS.includes(path)) return verdict("nothing", "It writes to nowhere.");
  if (DEVICE.test(path)) return verdict("outside", `It overwrites the device ${show(path)}.`);
  const inside = posix.relative(place.workspace, path);
  if (inside === ".." || inside.startsWith("../")) return outside(path, place, does, recursive);
  return within(inside, given, place, { how, recursive });
}

/** Whether what is at a path is the root, or holds the workspace or the home directory. */
const reaches = (path: string, { workspace, home }: Place): boolean =>
  [workspace, home].some((each) => path === "/" || each === path || each.startsWith(`${path}/`)) ||
  path.split("/").length <= 2;

const isTemporary = (path: string, { workspace, env }: Place): boolean =>
  path !== workspace &&
  !path.startsWith(`${workspace}/`) &&
  !workspace.startsWith(`${path}/`) &&
  [...TEMPORARY, ...(env?.TMPDIR ? [env.TMPDIR] : [])].some((each) => path === each || path.startsWith(`${each}/`));

const parts = (path: string): string[] => path.split("/").filter((part) => part !== "" && part !== ".");

function outside(path: string, place: Place, does: string, recursive: boolean): Verdict {
  if (isTemporary(path, place)) return verdict("regenerable", `It ${does} something temporary.`);
  const whole = path.replace(/\/\*+$/, "") || "/";
  if (place.workspace.startsWith(whole === "/" ? "/" : `${whole}/`))
    return recursive || whole !== path
      ? verdict("outside", `It ${does} ${show(path)}, and the whole project with it.`)
      : verdict("nothing", "It is a directory, and stays.");
  if (
    path.startsWith(`${place.home}/`) &&
    parts(path.slice(place.home.length)).some((part) => HOME_CACHES.includes(part))
  )
    return verdict("regenerable", `It ${does} a cache.`);
  return verdict("outside", `It ${does} ${show(path)}, which is outside of the project.`);
}

function within(path: string, given: Arg, { kind }: Place, { how, recursive }: Meant): Verdict {
  const does = how === "delete" ? "deletes" : "empties";
  const names = parts(path);
  const name = names.at(-1) ?? "";
  const all =
    names.length === 0 || (names.length === 1 && given.glob && /^(?:\*|\.\*|\.?\*\*|\.\[.*\]\*|\*\.\*)$/.test(name));
  if (all) {
    if (recursive || given.glob) return verdict("work", `It ${does} the whole project.`);
    return verdict("nothing", "It is a directory, and stays.");
  }
  if (names.includes(".git")) return inGit(path, names, recursive, does);
  const known = kind?.(path);
  if (known === "absent" && !given.glob) return verdict("nothing", "There is no such file.");
  if (known === "own") return verdict("regenerable", `It ${does} what the worker made itself.`);
  if (isPrecious(name) && !HARMLESS_PRECIOUS.test(name) && known !== "committed")
    return verdict("work", `It ${does} ${show(path)}, which nothing makes again.`);
  if (names.some(isGenerated) || known === "ignored") return verdict("regenerable", `It ${does} what is made again.`);
  if (given.glob) return verdict("work", `It ${does} all of ${show(path)}.`);
  if (known === "uncommitted") return verdict("work", `It ${does} ${show(path)}, which is in no commit.`);
  if (how === "empty") return verdict("work", `It empties ${show(path)}.`);
  if (!recursive || /\.[A-Za-z]\w{0,4}$/.test(name)) return verdict("limited", `It ${does} the file ${show(path)}.`);
  return verdict("work", `It ${does} the directory ${show(path)}.`);
}

function inGit(path: string, names: readonly string[], recursive: boolean, does: string): Verdict {
  const below = names.slice(names.indexOf(".git") + 1);
  if (below.at(-1)?.endsWith(".lock")) return verdict("regenerable", `It ${does} a lock of Git's.`);
  if (below.length === 0 ? recursive : /^(?:objects|refs|logs|packed-refs|HEAD|config|index|\*)$/.test(below[0]!))
    return verdict("work", `It ${does} ${show(path)}, where the history lies.`);
  return verdict("limited", `It ${does} ${show(path)}.`);
}

/** What it means that a file gets other contents by a redirect or a copy: ordinary work, but for what is the machine's. */
export function onWrite(given: Arg, place: Place): Verdict {
  if (given.text === "") return verdict("nothing", "It names no file.");
  const path = posix.resolve(place.cwd, given.text);
  if (DEVICE.test(path)) return verdict("outside", `It overwrites the device ${show(path)}.`);
  if (
    /^\/(?:etc|boot|usr|bin|sbin|lib\w*|sys|proc\/sys|opt|srv|root)\//.test(path) &&
    !path.startsWith(`${place.workspace}/`) &&
    !path.startsWith(`${place.home}/`)
  )
    return verdict("outside", `It overwrites ${show(path)}, which is the machine's.`);
  const inHome = posix.relative(place.home, path);
  if (
    /^\.(?:ssh|gnupg|aws|kube|docker|config|gitconfig|netrc|npmrc|bashrc|bash_profile|profile|zshrc)(?:\/|$)/.test(
      inHome,
    ) &&
    !path.startsWith(`${place.workspace}/`)
  )
    return verdict("outside", `It overwrites ${show(path)}, which is the user's.`);
  const inside = posix.relative(place.workspace, path);
  if (/^\.git\/(?:objects|refs|HEAD|index|packed-refs)/.test(inside))
    return verdict("work", `It overwrites ${show(inside)}, where the history lies.`);
  return verdict("nothing", "It writes a file.");
}
