import fs from "node:fs";
import { expect, test } from "vitest";
import { hold, parseMounts, toFstab, visible } from "./mounts.ts";

const table = (...lines: string[]) => parseMounts(Buffer.from(`${lines.join("\n")}\n`, "latin1"));

test("paths and flags are read, whatever bytes a path holds", () => {
  const [mount] = table(
    "36 1 8:1 / /a\\040b\\134\\012\xff rw,nosuid,relatime shared:1 master:2 - ext4 /dev/sda ro,discard",
  );
  expect(mount).toEqual({
    id: 36,
    parent: 1,
    at: "/a b\\\n\xff",
    type: "ext4",
    flags: ["rw", "nosuid", "relatime"],
    frozen: true,
  });
});

test("a mount is visible unless another lies on it, or on a directory above it", () => {
  const mounts = table(
    "1 0 8:1 / / rw - ext4 a rw",
    "2 1 8:2 / /tmp rw - ext4 b rw",
    "3 2 8:3 / /tmp/x rw - ext4 c rw",
    "4 1 8:4 / /home rw - ext4 d rw",
    "5 2 8:5 / /tmp rw - tmpfs over rw",
    "6 5 8:6 / /tmp/x rw - ext4 e rw",
    "7 1 8:7 / /tmpx rw - ext4 f rw",
    "8 4 8:8 / /home/u rw - ext4 g rw",
    "9 8 8:9 / /home/u rw - ext4 h rw",
  );
  expect(visible(mounts).map((m) => m.id)).toEqual([1, 4, 5, 6, 7, 9]);
});

test("the root may be covered by another root", () => {
  const mounts = table(
    "1 0 0:1 / / rw - rootfs r rw",
    "2 1 8:2 / / rw - ext4 b rw",
    "3 2 8:3 / /a rw - ext4 c rw",
    "4 1 8:3 / /a rw - ext4 c rw",
  );
  expect(visible(mounts).map((m) => m.id)).toEqual([2, 3]);
});

test.skipIf(process.platform !== "linux")("the mounts of this host have one visible root", () => {
  const mounts = parseMounts(fs.readFileSync("/proc/self/mountinfo"));
  expect(visible(mounts).filter((m) => m.at === "/")).toHaveLength(1);
});

test("a mount is held with the flags that it has", () => {
  const [mount] = table("36 1 8:1 / /a rw,nosuid,nodev,noexec,relatime,idmapped - ext4 a rw");
  expect(hold(mount!, { ro: true, nodev: false }).options).toBe("remount,bind,ro,nosuid,nodev,noexec,relatime");
  const [plain] = table("36 1 8:1 / /a rw,relatime - ext4 a rw");
  expect(hold(plain!, { ro: false, nodev: true }).options).toBe("remount,bind,nodev,relatime");
  expect(hold({ ...plain!, flags: ["ro"] }, { ro: false, nodev: true }).options).toBe("remount,bind,ro,nodev");
  expect(toFstab([{ from: "none", at: "/a b\t#\\\n\xff", type: "none", options: "ro" }]).toString("latin1")).toBe(
    "none /a\\040b\\011\\043\\134\\012\xff none ro 0 0\n",
  );
});
