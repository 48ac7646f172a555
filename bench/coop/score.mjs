// Whether a merged tree has a feature: its tests pass on it.
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { run } from "./git.mjs";

/** So long a suite may take, in ms. */
const TIMEOUT = 180_000;

/** The Python that runs the tests, and its pytest; part of what a result depends on. */
export async function python() {
  for (const command of [process.env.COOP_PYTHON, "python3.11", "python3"].filter(Boolean)) {
    const { code, stdout, stderr } = await run(command, ["-m", "pytest", "--version"]).catch(() => ({ code: 1 }));
    if (code !== 0) continue;
    const version = await run(command, ["--version"]);
    return { command, version: `${version.stdout.trim()}, ${(stdout || stderr).trim()}` };
  }
  throw new Error("There is no Python with pytest: install it, or name one in COOP_PYTHON.");
}

/**
 * Runs the suites of a task on a tree with the tests of a feature in it. `{ pass, passed, failed, why }`; what is known already is not run again.
 */
export async function score({ repo, task, cache, python: { command, version }, scratch }, tree, feature) {
  const tested = await repo.patched(tree, feature.tests);
  if (tested === null) return { pass: false, passed: 0, failed: 0, why: "the patch of the tests does not apply" };
  return cache.get(["suite", version, tested, ...task.suites], async () => {
    const dir = mkdtempSync(join(scratch, "suite-"));
    try {
      await repo.checkout(tested, dir);
      const done = await run(command, ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", ...task.suites], {
        cwd: dir,
        timeout: TIMEOUT,
        killSignal: "SIGKILL",
        env: {
          PATH: process.env.PATH,
          HOME: dir,
          LANG: "C.UTF-8",
          PYTEST_DISABLE_PLUGIN_AUTOLOAD: "1",
          PYTHONDONTWRITEBYTECODE: "1",
          PYTHONPATH: "src",
          TMPDIR: scratch,
        },
      });
      const last = done.stdout.trim().split("\n").at(-1) ?? "";
      const counted = (word) => Number(new RegExp(`(\\d+) ${word}`).exec(last)?.[1] ?? 0);
      const passed = counted("passed");
      const failed = counted("failed") + counted("errors?");
      const pass = done.code === 0 && passed > 0;
      return { pass, passed, failed, ...(!pass && { why: whyNot(done) }) };
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
}

/** One line on why a suite failed: the tests that failed and what the first of them met, or what broke before there were any. */
function whyNot({ killed, stdout, stderr }) {
  if (killed) return "the suite did not end";
  const [, error] = /\b((?:\w+Error|\w*Exception|Failed)\b(?:: .*)?)$/m.exec(`${stdout}\n${stderr}`) ?? [];
  const failed = [...stdout.matchAll(/^FAILED (\S+)/gm)].map(([, name]) => name.split("::").at(-1).replace(/\[.*/, ""));
  const all = [...new Set(failed)];
  const names = all.length > 3 ? `${all.slice(0, 3).join(", ")} and ${all.length - 3} more` : all.join(", ");
  return [names, error?.slice(0, 140)].filter(Boolean).join(": ") || "no test ran";
}
