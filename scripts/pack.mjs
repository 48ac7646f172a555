// What `npm pack` does first: a build of what is there now, without what an earlier one left behind.
import { rmSync } from "node:fs";
import { setup } from "./setup.mjs";

rmSync("dist", { recursive: true, force: true });
setup();
