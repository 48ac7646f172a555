// What `npm pack`, `npm run global` and `npm install --global .` do first: a build of what is there now.
import { setup } from "./setup.mjs";

setup();
