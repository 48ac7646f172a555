/** `shepherd export`: a run as one file, or as a Git repository. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { followers } from "../../scope/followers.ts";
import type { ScopeRef } from "../../scope/registry.ts";
import { partsOf } from "../../scope/transfer.ts";
import { type Exported, writeBundle } from "../../trace/bundle/write.ts";
import { Exit } from "../errors.ts";
import { anySecrets, checkSecrets, type Secrets, searchSecrets, secretWords, treesOf } from "../secrets.ts";
import { chooseRun } from "../select.ts";
import { fileSink, nowhere, outputSink } from "../sink.ts";
import { type Context, text, type Verb } from "../verb.ts";
import { counted, named, sizeText } from "../words.ts";

export const verb: Verb = {
  brief: "a run as one file",
  usage: "[RUN] [-o FILE | --git DIR]",
  most: 1,
  options: {
    output: { type: "string", short: "o", value: "FILE", help: "where to (RUN.shepherd); - for standard output" },
    git: {
      type: "string",
      value: "DIR",
      help: "a bare Git repository instead, with a commit for each step and a branch for each scope",
    },
    "no-forks": { type: "boolean", help: "without the scopes that were forked from it" },
    "with-secrets": { type: "boolean", help: "although something in it looks like a key or a password" },
    "dry-run": { type: "boolean", help: "only say what the file would hold" },
  },
  details:
    "The file holds all steps of the run and of its forks, their conversations, outputs and files, exactly: nothing in it can be masked, since everything is " +
    "named by its hash. What looks like a secret is therefore told, and nothing is written without --with-secrets; `shepherd forget` destroys it before. " +
    "Of your own directory it holds what the run began with, and nothing of its history. `shepherd import` takes the file into another store.",
  examples: [
    "shepherd export fix-login",
    "shepherd export fix-login --no-forks -o /tmp/run.shepherd",
    "shepherd export fix-login --git /tmp/fix.git",
  ],
  run: async (context, flags, args) => {
    const { out, cwd } = context;
    const run = await chooseRun(context, args[0]);
    const repository = text(flags, "git");
    if (repository !== undefined) {
      if (text(flags, "output"))
        throw new Exit(2, "-o is for a file, and --git for a repository: leave one of them out.");
      const { toRepository } = await import("../repository.ts");
      return toRepository(context, flags, run, resolve(cwd, repository));
    }
    const name = text(flags, "output") ?? `${run.name}.shepherd`;
    const file = name === "-" ? null : resolve(cwd, name);
    if (file && existsSync(file)) throw new Exit(2, `${file} exists: name another file with -o, or remove it.`);
    const dryRun = flags["dry-run"] === true;
    const store = await context.store();
    const parts = await partsOf(store, run, { forks: !flags["no-forks"] });
    const target = dryRun ? nowhere : file ? fileSink(file) : outputSink(store);
    const search = searchSecrets(store);
    const progress = out.progress();
    try {
      const done = await writeBundle(store, parts.scopes, parts, {
        followers,
        signal: context.signal,
        write: target.write,
        onObject: search.see,
        onProgress: (at, total) => progress.at(`writing ${name}: ${at} of ${total} objects`),
      });
      progress.done();
      const secrets = await search.result(await treesOf(store, parts.scopes));
      if (!dryRun) checkSecrets(run.name, secrets, flags);
      await target.keep();
      const forks = parts.scopes.slice(1).map((scope) => scope.name);
      tell(context, { run, forks, file: file ?? "-", done, secrets, dryRun });
      return undefined;
    } finally {
      progress.done();
      target.drop();
    }
  },
};

interface Told {
  run: ScopeRef;
  forks: string[];
  file: string;
  done: Exported;
  secrets: Secrets;
  dryRun: boolean;
}

function tell({ out }: Context, { run, forks, file, done, secrets, dryRun }: Told): void {
  const { digest, bytes, objects, forgotten, frames } = done;
  // Standard output is the file.
  if (file === "-" && !dryRun) return;
  out.object({
    scope: run.name,
    forks,
    file,
    bytes,
    objects,
    forgotten,
    frames,
    digest,
    secrets,
    ...(dryRun && { dryRun }),
  });
  const what = `${run.name}${forks.length > 0 ? ` with ${named(forks)}` : ""}`;
  out.say(`${dryRun ? "Would write " : ""}${what}: ${counted(objects, "object")}, ${sizeText(bytes)}, in ${file}.`);
  if (forgotten > 0) out.say(`  ${counted(forgotten, "object")} of it had been forgotten`);
  if (anySecrets(secrets)) out.say(`  what looks like secrets is in it: ${secretWords(secrets)}`);
}
