// The declarations of the library, and of no more than it names: what tsc made of its entries, and what these lead to.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const RELATIVE = /(\bfrom |\bimport\(|\bimport )"(\.[^"]+)\.ts"/g;

/** @param from where tsc has put the declarations of the sources; @param to made anew. */
export function types(from, to) {
  const done = new Set();
  const take = (path) => {
    if (done.has(path)) return;
    done.add(path);
    const text = readFileSync(join(from, path), "utf8");
    mkdirSync(dirname(join(to, path)), { recursive: true });
    writeFileSync(join(to, path), text.replace(RELATIVE, '$1"$2.js"'));
    for (const [, , specifier] of text.matchAll(RELATIVE)) take(normalize(join(dirname(path), `${specifier}.d.ts`)));
  };
  take("index.d.ts");
  take("testing/index.d.ts");
}
