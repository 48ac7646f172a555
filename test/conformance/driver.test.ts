import * as fs from "node:fs";
import { join } from "node:path";
import { portableDriver } from "../../src/world/portable.ts";
import { inMemory } from "../support/memory.ts";
import { kinds } from "../support/mounts.ts";
import { driverConformance } from "./driver.ts";

// In the long run their files lie on a disk, as those of the tests in src/world always do.
driverConformance(
  "the portable driver",
  async (directory) => ({
    driver: (objects) => portableDriver({ directory, objects, generation: "one", worth: 0 }),
    end: async () => {},
  }),
  inMemory,
);

for (const { whose, mounts } of kinds)
  driverConformance(
    `worlds that stand on a base, in ${whose} mounts,`,
    async (place) => {
      const [directory, bases] = ["worlds", "bases"].map((name) => join(place, name)) as [string, string];
      for (const each of [directory, bases]) fs.mkdirSync(each);
      const layers = { bases, roots: ["files"], mounts: async () => mounts };
      return {
        driver: (objects) => {
          const driver = portableDriver({ directory, objects, generation: "one", worth: 0, layers, lag: 30 });
          return { ...driver, open: (spec) => driver.open({ family: "one", ...spec }) };
        },
        end: async () => {},
      };
    },
    inMemory,
  );
