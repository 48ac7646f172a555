// The tasks of a CooperBench dataset: a repository at a commit, features as patches, and for each feature the tests that tell whether it works.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Paths that belong to the tests: a worker's patch does not change them. */
const TESTS = ["/test_", "/tests/", "_test.py", "/test/", "tests.py"];
const isTest = (path) => TESTS.some((part) => `/${path}`.includes(part));

const numbered = (name, word) => (name.startsWith(word) ? Number(name.slice(word.length)) : Number.NaN);
const folders = (path) => readdirSync(path, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? [e.name] : []));

/**
 * Every task below `dataset` (`REPO/taskN/{Dockerfile,runner.sh,combined.patch,featureM/{feature.patch,tests.patch}}`) whose repository is in `repos`
 * (one clone each, named as at its host) and whose tests are those of pytest. Each with the pairs of its features.
 */
export function tasksOf(dataset, repos) {
  const tasks = [];
  for (const group of folders(dataset).sort())
    for (const name of folders(join(dataset, group))
      .filter((each) => numbered(each, "task") >= 0)
      .sort((a, b) => numbered(a, "task") - numbered(b, "task"))) {
      const task = taskIn(join(dataset, group, name), repos);
      if (task) tasks.push(task);
    }
  return tasks;
}

function taskIn(path, repos) {
  const read = (name) => readFileSync(join(path, name), "utf8");
  if (!existsSync(join(path, "Dockerfile")) || !existsSync(join(path, "runner.sh"))) return null;
  const [, base] = /git checkout ([0-9a-f]{40})/.exec(read("Dockerfile")) ?? [];
  const [, url] = /git clone \S*\/([^/\s]+?)(?:\.git)? /.exec(read("Dockerfile")) ?? [];
  const [, suites] = /^(?:\S*python\S*\s+-m\s+)?pytest((?:\s+tests\/\S+)+)/m.exec(read("runner.sh")) ?? [];
  if (!base || !url || !suites || !existsSync(join(repos, url))) return null;
  const features = folders(path)
    .map((name) => numbered(name, "feature"))
    .filter((n) => n >= 0)
    .sort((a, b) => a - b)
    .map((n) => ({
      n,
      patch: withoutTests(read(`feature${n}/feature.patch`)),
      tests: read(`feature${n}/tests.patch`),
    }));
  return {
    name: `${url}-${numbered(path.split("/").at(-1), "task")}`,
    repo: join(repos, url),
    base,
    /** Arguments of pytest. */
    suites: suites.trim().split(/\s+/),
    features,
    combined: withoutTests(read("combined.patch")),
    pairs: features.flatMap((a, i) => features.slice(i + 1).map((b) => [a, b])),
  };
}

/** The files of a patch: the path of each, and its part of the patch. */
export const filesOf = (patch) =>
  patch
    .split(/^(?=diff --git )/m)
    .filter((part) => part.startsWith("diff --git "))
    .map((part) => ({ path: /^diff --git a\/(\S+) /.exec(part)[1], part }));

const withoutTests = (patch) =>
  filesOf(patch)
    .filter(({ path }) => !isTest(path))
    .map(({ part }) => part)
    .join("");
