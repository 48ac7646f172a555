import { afterEach, beforeEach, expect, test } from "vitest";
import { tempStore } from "../../test/support/temp-store.ts";
import { type Item, putItem } from "../scope/thread.ts";
import { itemNode } from "../trace/commit.ts";
import type { Link } from "../trace/ports.ts";
import { followConversation } from "./conversation.ts";

let temp: Awaited<ReturnType<typeof tempStore>>;
beforeEach(async () => {
  temp = await tempStore();
});
afterEach(() => temp.end());

const item = (text: string): Item => ({ role: "user", content: [{ type: "text", text }] });

/** Appends an item to a conversation; gives its new head. */
async function append(before: Link | null, text: string): Promise<Link> {
  const node = itemNode(before, await putItem(temp.store, item(text)));
  await temp.store.derived.put(node.bytes);
  return node.id;
}

test("a conversation is read as it grows, is set back, branches off and begins anew", async () => {
  const a = await append(null, "a");
  const b = await append(a, "b");
  const c = await append(b, "c");
  const other = await append(a, "other");
  const conversation = followConversation(temp.store);
  const read = async (items: Link | null | undefined) =>
    (await conversation.read(items === undefined ? undefined : { items, shell: null })).map(
      ({ content }) => (content[0] as { text: string }).text,
    );
  expect(await read(undefined)).toEqual([]);
  expect(await read(a)).toEqual(["a"]);
  expect(await read(c)).toEqual(["a", "b", "c"]);
  expect(await read(c)).toEqual(["a", "b", "c"]);
  expect(await read(b)).toEqual(["a", "b"]);
  expect(await read(other)).toEqual(["a", "other"]);
  expect(await read(null)).toEqual([]);
  expect(await read(c)).toEqual(["a", "b", "c"]);
});

test("a later look reads only what is new, and leaves lists given before as they were", async () => {
  let head = await append(null, "0");
  const conversation = followConversation(temp.store);
  const first = await conversation.read({ items: head, shell: null });
  let reads = 0;
  const { get } = temp.store.objects;
  temp.store.objects.get = (id) => {
    reads++;
    return get(id);
  };
  for (let k = 1; k <= 20; k++) {
    head = await append(head, String(k));
    await conversation.read({ items: head, shell: null });
  }
  expect(first).toHaveLength(1);
  expect(reads).toBe(20);
});
