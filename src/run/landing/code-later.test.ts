import { describe, expect, test } from "vitest";
import { memoryObjects } from "../../../test/support/objects.ts";
import { runsCodeLater } from "./code-later.ts";
import type { Side } from "./plan.ts";

const objects = memoryObjects();
const text = async (content: string): Promise<Side> => ({
  type: "f",
  mode: 0o644,
  id: await objects.put(Buffer.from(content)),
});
const asks = async (path: string, expected: Side | null, next: Side | null) =>
  (await runsCodeLater(objects, { path: Buffer.from(path), expected, next })) !== null;

describe("what asks first", () => {
  test.each([
    ".husky/pre-commit",
    "packages/x/.husky/_/husky.sh",
    ".pre-commit-config.yaml",
    ".github/workflows/ci.yml",
    ".gitlab-ci.yml",
    "Jenkinsfile",
    ".vscode/tasks.json",
    "app/.vscode/settings.json",
    "my.code-workspace",
    ".idea/runConfigurations/x.xml",
    ".devcontainer/devcontainer.json",
    ".envrc",
    ".ENVRC",
    ".bashrc",
    ".npmrc",
    ".yarn/releases/yarn-4.cjs",
    ".claude/settings.local.json",
    ".mcp.json",
    ".cursor/rules/x.mdc",
    ".codex/config.toml",
    ".husky",
  ])("%s", async (path) => {
    expect(await asks(path, null, await text("x"))).toBe(true);
    expect(await asks(path, await text("x"), null)).toBe(true);
  });

  test.each([
    "src/main.ts",
    "README.md",
    "AGENTS.md",
    "Makefile",
    "huskyx/a",
    "my.envrc",
    ".vscode/extensions.json",
    "docs/.github.md",
    "npmrc",
    "x.code-workspace.md",
  ])("not %s", async (path) => {
    expect(await asks(path, null, await text("x"))).toBe(false);
  });

  test("a link or file in the place of such a directory does, the directory itself does not", async () => {
    const link: Side = { type: "l", mode: 0, id: await objects.put(Buffer.from("/tmp")) };
    const folder: Side = { type: "d", mode: 0o755, id: null };
    expect(await asks(".vscode/tasks.json", null, link)).toBe(true);
    expect(await asks(".husky", null, link)).toBe(true);
    expect(await asks(".husky", folder, link)).toBe(true);
    expect(await asks(".husky", null, folder)).toBe(false);
  });

  test("a manifest does where its scripts change, or cannot be read", async () => {
    const plain = await text('{"name":"x","version":"1","scripts":{"test":"t"}}');
    expect(await asks("package.json", plain, await text('{"version":"2","scripts":{"test":"t"},"name":"x"}'))).toBe(
      false,
    );
    expect(await asks("a/package.json", plain, await text('{"scripts":{"test":"t","postinstall":"evil"}}'))).toBe(true);
    expect(await asks("package.json", null, await text('{"name":"x"}'))).toBe(false);
    expect(await asks("package.json", null, plain)).toBe(true);
    expect(await asks("package.json", plain, await text("{"))).toBe(true);
    expect(await asks("package.json", plain, { type: "l", mode: 0, id: plain.id })).toBe(true);
  });
});
