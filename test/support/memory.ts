/** A place for tests that make and remove so many files that a disk takes most of their time. */
import * as fs from "node:fs";
import * as os from "node:os";
import { join } from "node:path";
import { shortLived } from "../../src/scope/exec/temp.ts";
import { long } from "./runs.ts";

/** What tests may need at once, in bytes. */
const ROOM = 1 << 30;

/** Whether all that tests do with a disk can be done there: programs are run, and layers of ordinary users have attributes. */
function serves(place: string): boolean {
  const [major, minor] = os.release().split(".").map(Number) as [number, number];
  // Since then files in memory may have the attributes that users set.
  if (major < 6 || (major === 6 && minor < 6)) return false;
  const { bavail, bsize } = fs.statfsSync(place);
  if (bavail * bsize < ROOM) return false;
  const program = join(fs.mkdtempSync(join(place, "shepherd-")), "program");
  try {
    fs.writeFileSync(program, "", { mode: 0o755 });
    fs.accessSync(program, fs.constants.X_OK);
    return true;
  } catch {
    return false;
  } finally {
    fs.rmSync(join(program, ".."), { recursive: true });
  }
}

/** In memory where that can be; in the long run, and elsewhere, where all temporary files lie. */
export const inMemory = !long && serves(shortLived()) ? shortLived() : os.tmpdir();
