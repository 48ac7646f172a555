import { expect, test } from "vitest";
import { read } from "./reader.ts";

test("who types the tutorial gets what it says", async () => {
  expect((await read("docs/tutorial.md")).join("\n\n")).toBe("");
}, 300_000);
