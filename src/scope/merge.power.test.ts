import { expect, test } from "vitest";
import { randomFrom, type SimDisk, simDisk } from "../../test/support/simdisk.ts";
import { target } from "../trace/bytes.ts";
import { type EmbeddedStore, openStore } from "../trace/store.ts";
import { writeTree } from "../world/tree.ts";
import { followers } from "./followers.ts";
import { forkScope } from "./fork.ts";
import { mergeScope, syncScope } from "./merge.ts";
import { createScope, NO_GRANTS } from "./registry.ts";
import { attach, type LiveScope, record, treeLink } from "./scope.ts";
import { readScope } from "./view.ts";

const open = (disk: SimDisk, boot: string): Promise<EmbeddedStore> =>
  openStore("/store", {
    disk,
    followers,
    owner: () => ({ boot, pid: 1, start: "1", ns: "ns" }),
    alive: (owner) => owner.boot === boot,
  });
const write = async (scope: LiveScope, name: string): Promise<void> => {
  const id = await scope.store.objects.put(Buffer.from(name));
  const entries = [{ type: "f" as const, mode: 0o644, name: Buffer.from(name), id }];
  const workspace = treeLink(await writeTree(scope.store.objects, { mode: 0o755, entries }));
  await record(scope, { kind: "work", tier: "reversible" }, { status: "done", workspace });
};

/** Parent and child, each with a commit that is only written; the power fails after `work`. Gives both as they are then. */
async function afterPowerLoss(seed: number, work: (parent: LiveScope, child: LiveScope) => Promise<unknown>) {
  const disk = simDisk();
  const store = await open(disk, "first");
  const workspace = { path: "/user", id: "w" };
  await createScope(store, { name: "fix", workspace, parent: null, origin: null, grants: NO_GRANTS });
  const parent = await attach(store, "fix");
  await write(parent, "a");
  await forkScope(store, "fix", 0);
  const child = await attach(store, "fix.1");
  await write(parent, "b");
  await write(child, "c");
  const heads = [parent.head().id, child.head().id];
  await work(parent, child);
  const after = await open(disk.crash(randomFrom(seed)), "second");
  const ids = async (name: string) => (await readScope(after, name)).fold.sealed.map((step) => step.sealed!.id);
  return { heads, parent: await ids("fix"), child: await ids("fix.1") };
}

test("what a merge names as merged survives the loss of power with it", async () => {
  for (let seed = 0; seed < 30; seed++) {
    const after = await afterPowerLoss(seed, async (parent) =>
      mergeScope(parent, await readScope(parent.store, "fix.1"), "theirs"),
    );
    expect(after.child).toContain(after.heads[1]);
  }
});

test("so does what a sync brings", async () => {
  for (let seed = 0; seed < 30; seed++) {
    const after = await afterPowerLoss(seed, async ({ head, ref }, child) => {
      const { id, state } = head();
      await syncScope(
        child,
        { id: id!, tree: target(state!.roots.workspace), name: "fix", log: ref.log },
        { take: "ours" },
      );
    });
    expect(after.parent).toContain(after.heads[0]);
  }
});
