import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT, read } from "./reader.ts";

// The tutorial is long enough for a file of its own, which another worker may take.
const documents = ["README.md", "CONTRIBUTING.md"].concat(
  readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md") && name !== "tutorial.md")
    .sort()
    .map((name) => `docs/${name}`),
);

test.each(documents)(
  "what %s shows can be typed, and prints what it says",
  async (document) => {
    expect((await read(document)).join("\n\n")).toBe("");
  },
  300_000,
);
