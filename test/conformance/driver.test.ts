import { portableDriver } from "../../src/world/portable.ts";
import { driverConformance } from "./driver.ts";

driverConformance("the portable driver", async (directory) => ({
  driver: (objects) => portableDriver({ directory, objects, generation: "one", worth: 0 }),
  end: async () => {},
}));
