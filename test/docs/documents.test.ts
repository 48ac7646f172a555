import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findProgram } from "../../src/scope/exec/tools.ts";
import { ROOT, read } from "./reader.ts";

const python = findProgram("python3");
if (!python) console.log("docs/python.md is not typed: there is no python3 on the PATH.");

// The tutorial is long enough for a file of its own, which another worker may take.
const documents = ["README.md", "CONTRIBUTING.md"].concat(
  readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md") && name !== "tutorial.md" && (python || name !== "python.md"))
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
