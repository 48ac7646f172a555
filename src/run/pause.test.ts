import { expect, test } from "vitest";
import type { Json } from "../trace/ports.ts";
import type { Writer } from "../trace/writer.ts";
import { makePause } from "./pause.ts";

const never = new AbortController().signal;

/** A pause whose notes are kept; `fail` tells of which the writing fails. */
function rig(fail: (state: Json | undefined) => boolean = () => false) {
  const notes: Array<Json | undefined> = [];
  const note = async (_n: number | null, { state }: { [key: string]: Json }) => {
    await new Promise((resolve) => setImmediate(resolve));
    if (fail(state)) throw new Error("the disk is full");
    notes.push(state);
  };
  return { pause: makePause({ note } as unknown as Writer), notes };
}

/** Whether something that is about to begin is held back. */
const holds = ({ over }: ReturnType<typeof makePause>): Promise<boolean> =>
  Promise.race([over(never).then(() => false), new Promise<boolean>((resolve) => setImmediate(resolve, true))]);

test("a pause holds back what is about to begin until it ends", async () => {
  const { pause, notes } = rig();
  await pause.begin({ by: "anna" });
  await pause.begin({ by: "ben" });
  expect(await holds(pause)).toBe(true);
  const waits = pause.over(never);
  expect(await pause.end({ by: "anna" })).toBe(true);
  await waits;
  expect(await pause.end({ by: "anna" })).toBe(false);
  expect(notes).toEqual(["paused", "resumed"]);
});

test("who asks for a pause while another ends has it, and the other way round", async () => {
  const { pause, notes } = rig();
  await pause.begin({ by: "anna" });
  await Promise.all([pause.end({ by: "anna" }), pause.begin({ by: "ben" })]);
  expect(await holds(pause)).toBe(true);
  await Promise.all([pause.end({ by: "ben" }), pause.begin({ by: "anna" }), pause.end({ by: "anna" })]);
  expect(await holds(pause)).toBe(false);
  expect(notes).toEqual(["paused", "resumed", "paused", "resumed", "paused", "resumed"]);
});

test("a pause that cannot be written is none, and what waited for it goes on", async () => {
  let full = true;
  const { pause, notes } = rig((state) => full && state === "paused");
  const begun = pause.begin({ by: "anna" });
  const failed = expect(begun).rejects.toThrow("the disk is full");
  await Promise.resolve();
  await pause.over(never);
  await failed;
  full = false;
  await pause.begin({ by: "anna" });
  expect(await holds(pause)).toBe(true);
  expect(notes).toEqual(["paused"]);
});
