import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { expect, test } from "vitest";
import { inTemporary } from "../../../test/support/trees.ts";
import { processesIn, sharedMappings } from "./inside.ts";

test("what was started below us is found, in its namespace alone, until it has ended", async () => {
  const own = fs.readlinkSync("/proc/self/ns/pid");
  const shell = spawn("bash", ["-c", "sleep 100 & echo $!; wait"], { stdio: ["ignore", "pipe", "ignore"] });
  try {
    const [text] = (await once(shell.stdout, "data")) as [Buffer];
    const pids = [shell.pid!, Number(text)];
    expect(processesIn(own, undefined)).toEqual(expect.arrayContaining(pids));
    expect(processesIn(own, shell.pid)).not.toContain(shell.pid);
    expect(processesIn("pid:[1]", undefined)).toEqual([]);
    process.kill(pids[1]!, "SIGKILL");
    await once(shell, "exit");
    expect(processesIn(own, undefined)).not.toContain(pids[1]);
  } finally {
    shell.kill("SIGKILL");
  }
});

test("mappings that are shared and written to are found by their paths, and nothing else of the many", async () => {
  await inTemporary((dir) => {
    // As the kernel writes it: a private mapping, one that is only read, one of a removed file, one of a name with a line end.
    const lines = [
      "7f0000000000-7f0000001000 r--p 00000000 fe:00 12 /lib/x",
      "7f0000001000-7f0000002000 r--s 00000000 fe:00 13 /a/read",
      "7f0000002000-7f0000003000 rw-s 00000000 fe:00 14 /a/written b",
      "7f0000003000-7f0000004000 rw-s 00000000 fe:00 15 /a/gone (deleted)",
      "7f0000004000-7f0000005000 rw-s 00000000 fe:00 16 /a/line\\012end",
      "7f0000005000-7f0000006000 rw-s 00000000 00:01 17 [shm]",
    ];
    fs.writeFileSync(`${dir}/maps`, `${lines.join("\n")}\n`);
    expect([...sharedMappings([`../${dir.slice(1)}` as unknown as number])]).toEqual(["/a/written b", "/a/line\nend"]);
    expect(sharedMappings([999_999_999])).toEqual(new Set());
  });
});
