// What `npm pack` does first: a build of what is there now.
import { setup } from "./setup.mjs";

setup();
