// The command `shepherd` and the library in few files: node loads them in half the time that the modules of the sources take one by one.
import { chmodSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { helperName, native } from "./native.mjs";
import { types } from "./types.mjs";

/**
 * @param dir beside package.json, in which the command finds its version; made anew.
 * @param declared where tsc has put the declarations; without them the library has no types.
 */
export async function bundle(dir, declared) {
  rmSync(dir, { recursive: true, force: true });
  const input = { shepherd: "src/cli/main.ts", index: "src/index.ts", testing: "src/testing/index.ts" };
  const made = await rolldown({ input, platform: "node" });
  await made.write({ dir, format: "esm", chunkFileNames: "[name]-[hash].js" });
  await made.close();
  // npm sets it when it installs, not when what an installed link leads to is built anew.
  chmodSync(join(dir, "shepherd.js"), 0o755);
  if (existsSync(join(declared, "index.d.ts"))) types(declared, join(dir, "types"));
  native(join(dir, helperName));
}

if (import.meta.filename === process.argv[1]) await bundle(process.argv[2] ?? "bin", process.argv[3] ?? "dist");
