// The command `shepherd` in few files: node loads it in half the time that the modules of the sources take one by one.
import { chmodSync, rmSync } from "node:fs";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { helperName, native } from "./native.mjs";

/** @param dir beside package.json, in which the command finds its version; made anew. */
export async function bundle(dir) {
  rmSync(dir, { recursive: true, force: true });
  const made = await rolldown({ input: { shepherd: "src/cli/main.ts" }, platform: "node" });
  await made.write({ dir, format: "esm", chunkFileNames: "[name]-[hash].js" });
  await made.close();
  // npm sets it when it installs, not when what an installed link leads to is built anew.
  chmodSync(join(dir, "shepherd.js"), 0o755);
  native(join(dir, helperName));
}

if (import.meta.filename === process.argv[1]) await bundle(process.argv[2] ?? "bin");
