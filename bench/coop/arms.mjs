/**
 * The arms: ways to make one tree of what two workers did. Each is a function of a task that was opened and two of its features, and gives `{ tree }`, or
 * `{ why }` where it gives up; it is called once for what it depends on (`version`, the base, the two patches), whose result is then known.
 *
 * Arms in which somebody steers the workers (by rules, by messages alone) get their place in this list: they have `opened.product` and
 * `opened.base` to work on.
 */
export const ARMS = [
  {
    name: "git",
    title: "git merge",
    version: ({ git }) => git,
    merge: async ({ repo, commits }, a, b) => {
      const { tree, conflicts } = await repo.merge(commits.get(b), commits.get(a));
      return conflicts.length === 0 ? { tree } : { why: `conflict in ${conflicts.join(", ")}` };
    },
  },
  {
    name: "union",
    title: "git merge, else union",
    version: ({ git }) => git,
    merge: async ({ repo, commits }, a, b) => {
      const plain = await repo.merge(commits.get(b), commits.get(a));
      if (plain.conflicts.length === 0) return { tree: plain.tree };
      const { tree, conflicts } = await repo.merge(commits.get(b), commits.get(a), { union: true });
      return conflicts.length === 0 ? { tree, settled: true } : { why: `conflict in ${conflicts.join(", ")}` };
    },
  },
  {
    name: "lines",
    title: "shepherd merge",
    version: ({ engine }) => engine,
    merge: (opened, a, b) => merged(opened, a, b),
  },
  {
    name: "both",
    title: "shepherd merge --take both",
    version: ({ engine }) => engine,
    merge: (opened, a, b) => merged(opened, a, b, "both"),
  },
];

/** The first worker's scope is merged into one that has done nothing, then the second's. */
async function merged(opened, a, b, take) {
  const { product, repo, scratch, base } = opened;
  const [first, second] = await workersOf(opened, a, b);
  const into = await product.worker(base, "");
  await product.merge(first, into);
  const { status, conflicts, resolved } = await product.merge(second, into, take);
  if (status === "conflict") return { why: `conflict in ${conflicts.map(({ path }) => path).join(", ")}` };
  const tree = await product.files(into, scratch, repo.taken);
  await product.discard(into);
  return {
    tree,
    ...(resolved.length > 0 && { settled: true, how: [...new Set(resolved.flatMap(({ how }) => how))].sort() }),
  };
}

/** Two scopes of a pair's own, made once. What they hold must be what the patches make. */
function workersOf(opened, a, b) {
  const key = `${a.n},${b.n}`;
  if (!opened.pairs.has(key))
    opened.pairs.set(
      key,
      Promise.all(
        [a, b].map(async (feature) => {
          const name = await opened.product.worker(opened.base, feature.patch);
          const made = await opened.product.files(name, opened.scratch, opened.repo.taken);
          if (made !== opened.trees.get(feature)) throw new Error(`${name} is not what feature ${feature.n} makes.`);
          return name;
        }),
      ),
    );
  return opened.pairs.get(key);
}
