// The scope helper, where there is a C compiler. Without one Shepherd works by programs of the host.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

const FLAGS = "-std=gnu11 -O2 -Wall -Wextra -D_GNU_SOURCE -fstack-protector-strong -pthread".split(" ");
// The same bytes wherever it is built from the same sources by the same compiler.
const SAME = ["-ffile-prefix-map=native/=", "-Wl,--build-id=none", "-s"];

/**
 * @param into the program is written here; whether it was. `more`: other flags, such as for sanitizers; `compiler`: its name, which says what
 * machine it is for.
 */
export function native(into, more = ["-static"], compiler = process.env.CC ?? "cc") {
  if (process.platform !== "linux") return false;
  const sources = readdirSync("native").filter((name) => name.endsWith(".c"));
  const words = [...FLAGS, ...SAME, ...sources.sort().map((name) => `native/${name}`), "-o", into];
  // A static program runs beside any C library; not every system can make one.
  for (const flags of [more, []]) {
    const made = spawnSync(compiler, [...flags, ...words], { encoding: "utf8" });
    if (made.error) break;
    if (made.status === 0) return true;
    if (flags.length === 0) console.error(made.stderr);
  }
  console.error(
    `The scope helper was not built (no ${compiler} that works): sandboxes start more slowly, and keep less out.`,
  );
  return false;
}

const named = (machine) => `shepherd-scope-${machine}`;
export const helperName = named(process.arch);

/** Compilers for the machines that a published package serves, under the names of Debian's packages `gcc-…`. */
const CROSS = { x64: "x86_64-linux-gnu-gcc", arm64: "aarch64-linux-gnu-gcc" };

/** Writes helpers for other machines than this one, for which there is a compiler; returns which there now are of those that a package serves. */
export function others(dir) {
  const found = (compiler) => spawnSync(compiler, ["--version"]).status === 0;
  for (const [machine, compiler] of Object.entries(CROSS))
    if (machine !== process.arch && found(compiler)) native(join(dir, named(machine)), ["-static"], compiler);
  return Object.keys(CROSS).filter((machine) => existsSync(join(dir, named(machine))));
}

if (import.meta.filename === process.argv[1]) native(join(process.argv[2] ?? "bin", helperName));
