// A run has a /tmp of its own, in which it would not see the world of the bench: that is made beside the user's data, where nothing is hidden.
import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

if (!process.env.SHEPHERD_BENCH_DIR) {
  process.env.SHEPHERD_BENCH_DIR = process.env.XDG_DATA_HOME || join(homedir(), ".local", "share");
  mkdirSync(process.env.SHEPHERD_BENCH_DIR, { recursive: true });
}
