/** The client in Python: its own tests, with the Python of this machine. */
import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { findProgram } from "../../src/scope/exec/tools.ts";
import { built } from "../support/built.ts";

const python = findProgram("python3");
if (!python) console.log("Tests of the client in Python are skipped: there is no python3 on the PATH.");

test.skipIf(!python)(
  "clients/python/shepherd.py does what it says",
  async () => {
    const command = await built();
    const file = resolve(import.meta.dirname, "../../clients/python/test/test_shepherd.py");
    const env = { ...process.env, SHEPHERD_COMMAND: JSON.stringify([process.execPath, command]) };
    const child = spawn(python!, [file], { env, stdio: ["ignore", "pipe", "pipe"] });
    let told = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        told += text;
      });
    const code = await new Promise<number | null>((settle) => child.on("close", settle));
    expect(code, told).toBe(0);
    expect(told).toMatch(/^Ran 1[0-9] tests/m);
  },
  300_000,
);
