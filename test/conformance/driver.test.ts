import * as fs from "node:fs";
import { join } from "node:path";
import { mountsOf } from "../../src/scope/driver.ts";
import { portableDriver } from "../../src/world/portable.ts";
import { driverConformance } from "./driver.ts";

driverConformance("the portable driver", async (directory) => ({
  driver: (objects) => portableDriver({ directory, objects, generation: "one", worth: 0 }),
  end: async () => {},
}));

const mounts = await mountsOf();
if (!mounts) console.log("Tests of layers are skipped: there are no overlays here.");
else
  driverConformance("worlds that stand on a base", async (place) => {
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
  });
