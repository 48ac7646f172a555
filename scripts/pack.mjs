// What `npm pack`, `npm run global` and `npm install --global .` do first: a build of what is there now, for each machine that can be built for.
import { others } from "./native.mjs";
import { setup } from "./setup.mjs";

setup();
const machines = others("bin");
if (machines.length < 2)
  console.error(
    `The scope helper in this package is for ${machines.join(" and ") || "no machine"}; with gcc-aarch64-linux-gnu or gcc-x86-64-linux-gnu it is built for both.`,
  );
