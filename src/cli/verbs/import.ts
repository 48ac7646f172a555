/** `shepherd import`: a run out of a file that `shepherd export` made. */
import { basename, resolve } from "node:path";
import { followers } from "../../scope/followers.ts";
import { type Naming, nameScopes, namesFor } from "../../scope/transfer.ts";
import { type Plan, planImport, takeIn } from "../../trace/bundle/read.ts";
import { link } from "../../trace/bytes.ts";
import { Exit } from "../errors.ts";
import { findWorkspace } from "../select.ts";
import { openSource } from "../source.ts";
import { text, type Verb } from "../verb.ts";
import { counted, named } from "../words.ts";

export const verb: Verb = {
  brief: "a run out of such a file",
  usage: "FILE [--as NAME]",
  most: 1,
  options: {
    as: { type: "string", value: "NAME", help: "what the run is called here; its own name without it" },
    large: { type: "boolean", help: "take a file that grows by more than a hundred times when it is unpacked" },
    "dry-run": { type: "boolean", help: "only verify the file, and say what it holds" },
  },
  details:
    "All of the file is verified before anything of it is there. Nothing of it runs, and no network is reached. The run belongs to the present directory then, whose files " +
    "stay as they are. It can be looked at and forked; nobody goes on with it itself. Its forks reach the model gateway and nothing else. " +
    "FILE may be -, for standard input. Nobody knows who made a file: look before you run anything of it.",
  examples: ["shepherd import fix-login.shepherd", "ssh host shepherd export fix-login -o - | shepherd import -"],
  run: async (context, flags, args) => {
    const { out, signal } = context;
    const [file] = args;
    if (file === undefined) throw new Exit(2, "Which file? `shepherd import FILE`");
    const store = await context.store();
    const workspace = await findWorkspace(store, context.cwd);
    const progress = out.progress();
    const source = await openSource(store, file === "-" ? file : resolve(context.cwd, file));
    try {
      const options = {
        followers,
        signal,
        large: flags.large === true,
        onProgress: (done: number, total: number) =>
          progress.at(`reading ${file}: ${Math.floor((100 * done) / total)} %`),
      };
      const plan = await planImport(store, source, options);
      const names = await namesFor(store, plan, text(flags, "as"));
      if (!flags["dry-run"]) {
        const path = link("blob", await store.objects.put(Buffer.from(workspace.path)));
        await takeIn(store, source, plan, { file: basename(file), workspace: path }, options);
        await nameScopes(store, names, workspace.id);
      }
      progress.done();
      tell(context, plan, names, flags["dry-run"] === true);
      return undefined;
    } finally {
      progress.done();
      source.close();
    }
  },
};

function tell({ out }: Parameters<Verb["run"]>[0], plan: Plan, names: readonly Naming[], dryRun: boolean): void {
  const [run] = names as [Naming];
  const forks = names.slice(1).map(({ name }) => name);
  const frames = plan.logs.reduce((sum, each) => sum + each.frames, 0);
  const fresh = frames - [...plan.here.values()].reduce((sum, each) => sum + each, 0);
  const { objects, forgotten, digest } = plan;
  out.object({ scope: run.name, forks, objects, forgotten, frames, new: fresh, digest, ...(dryRun && { dryRun }) });
  if (dryRun)
    out.say(
      `The file is whole: ${run.was}${forks.length > 0 ? `, with ${named(forks)}` : ""}, ${counted(objects, "object")}.`,
    );
  else if (fresh === 0 && names.every(({ known }) => known))
    out.say(`${run.name} is here already, with all that is in the file.`);
  else {
    out.say(
      `${run.name}: imported${forks.length > 0 ? `, with ${named(forks)}` : ""}; ${counted(objects, "object")} verified.`,
    );
    for (const { name, was } of names.slice(1)) if (name !== was) out.say(`  ${was} is called ${name} here`);
    out.say(`  \`shepherd log ${run.name}\` shows it, \`shepherd fork ${run.name} STEP\` makes a scope that can go on`);
  }
  if (forgotten > 0) out.say(`  ${counted(forgotten, "object")} of it had been forgotten where it came from`);
}
