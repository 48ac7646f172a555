// Pairs again in real scopes: forks of one directory, their files written and captured, merged by the store.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { home, use } from "../lib.mjs";
import { forksOf } from "../scopes/ours.mjs";
import { baseTree, bytesOf, edited, isSame, wantedOf } from "./pair.mjs";

const { mergeTrees } = await use("world/merge.js");

function put(at, tree) {
  for (const [path, content] of tree) {
    mkdirSync(dirname(join(at, path)), { recursive: true });
    writeFileSync(join(at, path), bytesOf(content));
  }
}

function read(at) {
  const files = readdirSync(at, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile());
  return new Map(
    files.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [relative(at, path), readFileSync(path, "utf8").split("\n").slice(0, -1)];
    }),
  );
}

/** The files of a scope as a worker left them. */
function leave(at, tree) {
  for (const path of read(at).keys()) if (!tree.has(path)) rmSync(join(at, path));
  put(at, tree);
}

/** Whether each of these pairs comes to the same in real scopes. */
export async function inScopes(played) {
  const directory = join(home, "pair");
  mkdirSync(directory);
  put(directory, baseTree());
  const forks = await forksOf(directory, join(home, "ours"), { copies: true });
  let same = 0;
  try {
    for (const [k, { pair, result }] of played.entries()) {
      const states = [];
      for (const side of [0, 1]) {
        const files = await forks.open(`pair-${k}-${side}`, forks.state, "first");
        leave(files.paths.workspace, result.trees[side]);
        states.push((await files.capture()).workspace.tree);
        await files.close();
      }
      const { tree, conflicts } = await mergeTrees(forks.store.objects, forks.state.tree, ...states);
      let pass = false;
      if (conflicts.length === 0) {
        const files = await forks.open(`pair-${k}`, { ...forks.state, tree });
        const both = read(files.paths.workspace);
        pass =
          isSame(both, edited(baseTree(), pair.scripts.flat())) &&
          result.trees.every((each, side) => isSame(each, wantedOf(pair, side)));
        await files.close();
      }
      if (pass === result.pass) same++;
    }
  } finally {
    await forks.end();
  }
  return same;
}
