/** Somebody who reads a document and types what it shows, in a shell, a home and a store of their own. */
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { built } from "../support/built.ts";
import { shown } from "./blocks.ts";
import { misfit } from "./match.ts";

export const ROOT = resolve(import.meta.dirname, "../..");

/** Lines that would install, build or test this very package: that there is such a script is all that is checked. */
const OURS = /^npm (?:(start|test)|run ([\w:-]+)|install --global \.)(?:\s+#.*)?$/;
/** Figures are written by these, and take long. */
const BENCH = /^node (bench\/[\w./-]+)(?:\s.*)?$/;

/** A script without lines that are not to be run here; what is wrong with those goes to `wrong`. */
function withoutOurs(script: string, wrong: (sentence: string) => void): string {
  const { scripts } = JSON.parse(fs.readFileSync(join(ROOT, "package.json"), "utf8")) as {
    scripts: { [name: string]: string };
  };
  const keep = (line: string): boolean => {
    const npm = OURS.exec(line.trim());
    const name = npm?.[1] ?? npm?.[2];
    if (name !== undefined && scripts[name] === undefined) wrong(`package.json has no script ${name}`);
    const bench = BENCH.exec(line.trim())?.[1];
    if (bench !== undefined && !fs.existsSync(join(ROOT, bench))) wrong(`there is no ${bench}`);
    return !npm && bench === undefined;
  };
  return script.split("\n").filter(keep).join("\n");
}

/**
 * Types everything that a document (a path in this repository) shows, and gives what went otherwise than it says: a paragraph each. What
 * stands behind the first of them is not typed.
 */
export async function read(document: string): Promise<string[]> {
  const directory = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "shepherd-docs-")));
  const home = join(directory, "home");
  const bin = join(directory, "bin");
  for (const path of [home, bin]) fs.mkdirSync(path);
  fs.writeFileSync(join(bin, "shepherd"), `#!/bin/sh\nexec "${process.execPath}" "${await built()}" "$@"\n`, {
    mode: 0o755,
  });
  // The clone: what of it a project installs.
  fs.symlinkSync(dirname(dirname(await built())), join(home, "shepherd"));
  // The reader of README and CONTRIBUTING stands in the clone.
  let cwd = document.includes("/") ? home : ROOT;
  let last = 0;
  const at = join(directory, "cwd");
  const env = {
    PATH: [bin, dirname(process.execPath), process.env.PATH ?? "/usr/bin:/bin"].join(delimiter),
    HOME: home,
    SHEPHERD_DIR: join(home, ".local/share/shepherd"),
    LANG: "C.UTF-8",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_AUTHOR_NAME: "you",
    GIT_AUTHOR_EMAIL: "you@example.invalid",
    GIT_COMMITTER_NAME: "you",
    GIT_COMMITTER_EMAIL: "you@example.invalid",
    ...(process.env.SHEPHERD_NO_NAMESPACES && { SHEPHERD_NO_NAMESPACES: process.env.SHEPHERD_NO_NAMESPACES }),
  };
  const type = (script: string, strict: boolean): Promise<{ code: number | null; lines: string[] }> =>
    new Promise((settle, reject) => {
      const whole = `exec 2>&1\ntrap 'pwd >"${at}"' EXIT\n${strict ? "set -e\n" : ""}(exit ${last})${strict ? " || :" : ""}\n${script}\n`;
      const child = spawn("bash", ["--norc", "--noprofile", "-c", whole], {
        cwd,
        env,
        stdio: ["ignore", "pipe", "inherit"],
      });
      let text = "";
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      child.on("error", reject);
      child.on("close", (code) => settle({ code, lines: text.replaceAll(home, "/home/you").split("\n") }));
    });

  const wrong: string[] = [];
  const ids = new Map<string, string>();
  try {
    for (const { line, command, output, code } of shown(fs.readFileSync(join(ROOT, document), "utf8"))) {
      const script = withoutOurs(command, (sentence) => wrong.push(`${document}:${line}: ${sentence}`));
      if (script.trim() === "") continue;
      const done = await type(script, output === null);
      last = done.code ?? 1;
      cwd = fs.readFileSync(at, "utf8").trim();
      const missed = output === null ? null : misfit(output, done.lines, ids);
      if (done.code === code && missed === null) continue;
      const how =
        done.code === code
          ? `nothing it printed fits ${JSON.stringify(missed)}`
          : `ended with ${done.code}, not ${code}`;
      wrong.push([`${document}:${line}: ${how}`, `$ ${command}`, ...done.lines].join("\n"));
      break;
    }
    return wrong;
  } finally {
    fs.rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
  }
}
