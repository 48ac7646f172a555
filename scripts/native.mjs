// The scope helper, where there is a C compiler. Without one Shepherd works by programs of the host.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";

const FLAGS = "-std=gnu11 -O2 -Wall -Wextra -D_GNU_SOURCE -fstack-protector-strong -pthread".split(" ");
// The same bytes wherever it is built from the same sources by the same compiler.
const SAME = ["-ffile-prefix-map=native/=", "-Wl,--build-id=none", "-s"];

/** @param into the program is written here; whether it was. `more`: other flags, such as for sanitizers. */
export function native(into, more = ["-static"]) {
  if (process.platform !== "linux") return false;
  const sources = readdirSync("native").filter((name) => name.endsWith(".c"));
  const compiler = process.env.CC ?? "cc";
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

export const helperName = `shepherd-scope-${process.arch}`;

if (import.meta.filename === process.argv[1]) native(join(process.argv[2] ?? "bin", helperName));
