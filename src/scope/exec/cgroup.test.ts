import { expect, test } from "vitest";
import { attenuate, NO_GRANTS } from "../registry.ts";
import { placesOf } from "./cgroup.ts";

const MEMORY = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory";
const PIDS = "40 31 0:37 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids";
const UNIFIED = "41 31 0:38 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw";
const both = ["memory", "processes"] as const;

test("of version 2 a group can be below the own one, or one above", () => {
  const own = "0::/user.slice/user-1000.slice/app.scope\n";
  expect(placesOf(`${UNIFIED}\n`, own, both)).toEqual([
    {
      version: 2,
      folders: [
        "/sys/fs/cgroup/user.slice/user-1000.slice/app.scope",
        "/sys/fs/cgroup/user.slice/user-1000.slice",
        "/sys/fs/cgroup/user.slice",
        "/sys/fs/cgroup",
      ],
      holds: ["memory", "processes"],
    },
  ]);
});

test("of version 1 each limit has a group of its own; what that has not is looked for in version 2", () => {
  const own = "8:pids:/\n4:memory:/a/b\n0::/\n";
  const [memory, pids] = [
    { version: 1, folders: ["/sys/fs/cgroup/memory/a/b"], holds: ["memory"] },
    { version: 1, folders: ["/sys/fs/cgroup/pids"], holds: ["processes"] },
  ];
  expect(placesOf([MEMORY, PIDS].join("\n"), own, both)).toEqual([memory, pids]);
  expect(placesOf([MEMORY, UNIFIED].join("\n"), own, both)).toEqual([
    memory,
    { version: 2, folders: ["/sys/fs/cgroup"], holds: ["processes"] },
  ]);
});

test("in a container the mount shows a part; where nothing is mounted there is no place", () => {
  const part = UNIFIED.replace("0:38 /", "0:38 /docker/1");
  expect(placesOf(part, "0::/docker/1/x\n", ["memory"])[0]!.folders).toEqual(["/sys/fs/cgroup/x", "/sys/fs/cgroup"]);
  expect(placesOf(part, "0::/\n", ["memory"])[0]!.folders).toEqual(["/sys/fs/cgroup"]);
  expect(placesOf("", "", both)).toEqual([]);
});

test("a child has the lower limit of each", () => {
  const parent = { ...NO_GRANTS, limits: { memory: 100, time: 5 } };
  expect(attenuate(parent, { limits: { memory: 200, processes: 7, time: 3 } }).limits).toEqual({
    memory: 100,
    processes: 7,
    time: 3,
  });
  expect(attenuate(parent, {}).limits).toEqual(parent.limits);
  expect(attenuate(NO_GRANTS, {})).not.toHaveProperty("limits");
});
