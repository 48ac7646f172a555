/** Real processes that work on a store, so that they can be killed. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

export interface Child {
  process: ChildProcess;
  /** Each line that it wrote, as it comes; all of them once `ended` has resolved. */
  lines: string[];
  /** Resolves with the exit code, null if it was killed. Rejects if it wrote to stderr. */
  ended: Promise<number | null>;
}

export interface Children {
  /** A directory for what the test needs besides; removed by `end`. */
  directory: string;
  /** Runs the script. */
  start(...args: string[]): Child;
  /** Kills all that still run, and removes the build. */
  end(): void;
}

/**
 * Compiles the trace into a temporary directory, from which the processes import it.
 * @param script of this directory: what the processes run.
 */
export function buildChildren(script = "child.mjs"): Children {
  const directory = mkdtempSync(`${tmpdir()}/shepherd-children-`);
  const root = resolve(import.meta.dirname, "../..");
  const config = {
    extends: `${root}/tsconfig.build.json`,
    compilerOptions: {
      rootDir: `${root}/src`,
      outDir: `${directory}/build`,
      typeRoots: [`${root}/node_modules/@types`],
      declaration: false,
      noCheck: true,
    },
    include: [`${root}/src/trace`],
    exclude: [`${root}/src/**/*.test.ts`],
  };
  writeFileSync(`${directory}/tsconfig.json`, JSON.stringify(config));
  execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", `${directory}/tsconfig.json`], { stdio: "inherit" });
  writeFileSync(`${directory}/build/package.json`, '{"type":"module"}');
  const running = new Set<ChildProcess>();
  return {
    directory,
    start: (...args) => {
      const child = spawn(process.execPath, [`${root}/test/support/${script}`, `${directory}/build`, ...args], {
        stdio: ["ignore", "pipe", "pipe"],
      });
      running.add(child);
      const lines: string[] = [];
      createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
      let errors = "";
      child.stderr.on("data", (text) => {
        errors += text;
      });
      const ended = new Promise<number | null>((done, fail) => {
        child.on("close", (code) => {
          running.delete(child);
          if (errors) fail(new Error(errors));
          else done(code);
        });
      });
      ended.catch(() => {});
      return { process: child, lines, ended };
    },
    end: () => {
      for (const child of running) child.kill("SIGKILL");
      rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
