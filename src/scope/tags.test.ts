import { expect, test } from "vitest";
import { tempStore } from "../../test/support/temp-store.ts";
import { expire } from "../run/retention.ts";
import { gc } from "../trace/gc.ts";
import { writeTree } from "../world/tree.ts";
import { followers } from "./followers.ts";
import { notePassed } from "./green.ts";
import { createScope, findScope, NO_GRANTS, setDiscarded } from "./registry.ts";
import { attach, record, treeLink } from "./scope.ts";
import { checkTagName, findTag, isTagName, listTags, removeTag, setTag } from "./tags.ts";

test("a tag keeps a discarded run; without it the run goes, and what was known of its check", async () => {
  const temp = await tempStore();
  try {
    const { store } = temp;
    const workspace = { path: temp.directory, id: "w" };
    const { log } = await createScope(store, {
      name: "r",
      workspace,
      parent: null,
      origin: null,
      grants: NO_GRANTS,
    });
    const scope = await attach(store, "r");
    const tree = treeLink(await writeTree(store.objects, { mode: 0o755, entries: [] }));
    await record(scope, { kind: "run", tier: "reversible" }, { status: "done", workspace: tree });
    const commit = scope.head().id!;
    await scope.close();
    expect(await setTag(store, "w", { name: "here", log, n: 0, stands: log, commit }, null)).toBe(true);
    expect(await setTag(store, "w", { name: "here", log, n: 0, stands: log, commit }, null)).toBe(false);
    await notePassed(store, log, { command: "true", commit });
    expect((await listTags(store, "w")).map(({ name, n }) => [name, n])).toEqual([["here", 0]]);
    expect(await listTags(store, "other")).toEqual([]);

    await setDiscarded(store, (await findScope(store, "r"))!, Date.now());
    const collect = async (): Promise<string[]> => {
      await expire(store, { retention: 0 });
      await gc(store, { followers });
      return store.logs.list();
    };
    expect(await collect()).toEqual([log]);
    expect((await findScope(store, "r"))?.log).toBe(log);
    expect(await removeTag(store, "w", (await findTag(store, "w", "here"))!)).toBe(true);
    expect(await collect()).toEqual([]);
    expect(await store.refs.list("green/")).toEqual([]);
  } finally {
    await temp.end();
  }
});

test("a name of a tag is no step by another name", () => {
  for (const name of ["before-refactor", "v1", "a", "gate"]) expect(isTagName(name), name).toBe(true);
  for (const name of ["", "6", "-", "green", "e8f1a2c", "cafe", "A", "a@b", "a/b", "x".repeat(49)])
    expect(() => checkTagName(name), name).toThrow(/tag|green/);
});
