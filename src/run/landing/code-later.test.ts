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
    [".husky/pre-commit", "git runs it at a commit"],
    ["packages/x/.husky/_/husky.sh", "also below"],
    [".pre-commit-config.yaml", "names what runs at a commit"],
    [".gitconfig", "included by the repository's configuration, it names pagers, aliases, hooks"],
    [".github/workflows/ci.yml", "runs with the next push"],
    [".gitlab-ci.yml", "runs with the next push"],
    ["Jenkinsfile", "runs with the next push"],
    [".vscode/tasks.json", "runs when the folder is opened"],
    ["app/.vscode/settings.json", "names interpreters and linters"],
    ["my.code-workspace", "holds settings and tasks"],
    [".idea/runConfigurations/x.xml", "runs before others"],
    [".devcontainer/devcontainer.json", "runs when the folder is opened"],
    ["crates/a/build.rs", "rust-analyzer runs it when the folder is opened"],
    ["eslint.config.mjs", "the editor's linter loads it when a file is opened"],
    [".prettierrc.cjs", "the editor's formatter loads it"],
    [".envrc", "runs when the directory is entered"],
    [".ENVRC", "so does this where case does not count"],
    [".mise.toml", "has hooks, and puts directories before others in PATH"],
    [".tool-versions", "may name a directory as a tool's version"],
    ["flake.nix", "is evaluated on entering, with an .envrc that was allowed long ago"],
    [".bashrc", "runs with a shell"],
    [".npmrc", "says where packages come from, and which shell runs their scripts"],
    [".yarnrc.yml", "names plugins and the yarn that runs"],
    [".yarn/releases/yarn-4.cjs", "is that yarn"],
    ["pip.conf", "says where packages come from"],
    [".cargo/config.toml", "names linkers and runners, also for the editor"],
    [".gdbinit", "runs with a debugger"],
    [".lldbinit", "runs with a debugger"],
    [".Rprofile", "runs with an interpreter"],
    [".claude/settings.local.json", "has hooks and permissions"],
    [".mcp.json", "names servers that are started"],
    [".cursor/rules/x.mdc", "is obeyed"],
    [".codex/config.toml", "names servers and permissions"],
    ["CLAUDE.md", "is obeyed by each agent that starts, unseen"],
    ["docs/AGENTS.md", "is obeyed by each agent that works below"],
    [".github/copilot-instructions.md", "is obeyed"],
    [".husky", "a file or link in the place of the directory"],
  ])("%s: %s", async (path) => {
    expect(await asks(path, null, await text("x"))).toBe(true);
    expect(await asks(path, await text("x"), null)).toBe(true);
  });

  test.each([
    ["src/main.ts", "runs when somebody runs it"],
    ["README.md", "is read"],
    ["conftest.py", "runs with the tests, as they do"],
    ["Makefile", "runs at a command that names a target"],
    ["justfile", "runs at a command"],
    ["Taskfile.yml", "runs at a command"],
    ["setup.py", "runs at a command that installs this package itself"],
    ["pyproject.toml", "changes all the time, and its build runs at a command"],
    ["Cargo.toml", "changes all the time"],
    ["build.gradle", "changes all the time, and editors ask before they load it"],
    [".gitattributes", "chooses among programs that the user's own configuration names"],
    [".gitmodules", "git takes no commands from it"],
    [".git-blame-ignore-revs", "is data"],
    [".editorconfig", "is data"],
    [".nvmrc", "is a version"],
    [".python-version", "is a version"],
    [".eslintrc.json", "is data"],
    ["eslint.md", "is no configuration"],
    ["my-agents.md", "is another name"],
    ["huskyx/a", "is another name"],
    ["my.envrc", "is another name"],
    [".vscode/extensions.json", "recommends, and the editor asks"],
    ["docs/.github.md", "is another name"],
    ["npmrc", "is another name"],
    ["x.code-workspace.md", "is another name"],
  ])("not %s: %s", async (path) => {
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

  test("a program that lends its owner's rights does, whatever of it changes", async () => {
    const file = async (mode: number): Promise<Side> => ({ ...(await text("x")), mode });
    expect(await asks("tool", null, await file(0o4755))).toBe(true);
    expect(await asks("tool", await file(0o755), await file(0o2755))).toBe(true);
    expect(await asks("tool", await file(0o4755), await file(0o4755))).toBe(true);
    expect(await asks("tool", null, await file(0o2644))).toBe(false);
    expect(await asks("tool", await file(0o4755), await file(0o755))).toBe(false);
    expect(await asks("tool", null, { type: "d", mode: 0o2775, id: null })).toBe(false);
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
