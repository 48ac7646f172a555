/** `shepherd service`: the services of a run, and what they wrote. */
import { existsSync, readFileSync } from "node:fs";
import { masked } from "../../meta/mask.ts";
import { howEnded, noteOf, outputFile, outputOf, servicesOf } from "../../scope/services.ts";
import { readLog } from "../../scope/view.ts";
import { Exit } from "../errors.ts";
import { plain } from "../output.ts";
import { chooseRun } from "../select.ts";
import type { Verb } from "../verb.ts";

/** Of a file no more is shown: its end. */
const MOST = 1 << 20;

export const verb: Verb = {
  brief: "the services of a run, and what they wrote",
  usage: "[RUN [NAME]]",
  most: 2,
  details:
    "A service is declared with `run`, `gateway` or `fork` (--service 'web=npm run dev'). It runs beside the calls of the run, on its files, while somebody " +
    "drives it, and is started anew after a revert, a merge and a resume, and in each fork. With NAME the end of what it wrote is shown.",
  examples: ["shepherd service fix", "shepherd service fix web"],
  run: async (context, _flags, [name, service]) => {
    const { out } = context;
    const store = await context.store();
    const run = await chooseRun(context, name);
    const declared = await servicesOf(store, run.log);
    const folder = outputOf(store, run.log);
    if (service !== undefined) {
      if (!declared.some((each) => each.name === service))
        throw new Exit(
          2,
          `${run.name} has no service ${JSON.stringify(service)}: \`shepherd service ${run.name}\` lists them.`,
        );
      const text = masked(endOf(outputFile(folder, service)));
      out.object({ scope: run.name, service, output: text });
      for (const line of text.split("\n").slice(0, -1)) out.line(plain(line));
      return undefined;
    }
    const { notes } = (await readLog(store, run.log, run)).fold;
    const driven = (await store.leases.holder(`log/${run.log}`)) !== null;
    for (const { name: each, command, at } of declared) {
      const note = notes.get(noteOf(each));
      // One of an earlier owner went with that.
      const now = driven && note?.epoch === notes.get("run")?.epoch ? note?.facts : undefined;
      const state =
        now === undefined ? (driven ? "waiting" : "stopped") : now.state === "started" ? "running" : "ended";
      const ended = state === "ended" || (!driven && note?.facts.state === "ended") ? note!.facts : null;
      const file = outputFile(folder, each);
      out.object({
        scope: run.name,
        service: each,
        command: masked(command),
        at: at ?? "",
        state,
        code: (ended?.code as number | null | undefined) ?? null,
        signal: (ended?.signal as string | null | undefined) ?? null,
        log: existsSync(file) ? file : null,
      });
      const how = ended ? `  (${howEnded(ended)})` : "";
      out.line(`${each.padEnd(16)} ${state.padEnd(8)} ${plain(masked(command)).replaceAll("\n", " ")}${how}`);
    }
    if (declared.length === 0)
      out.say(`${run.name} has no services: \`shepherd run --service 'NAME=COMMAND'\` declares one.`);
    return undefined;
  },
};

function endOf(file: string): string {
  if (!existsSync(file)) return "";
  const bytes = readFileSync(file);
  // From the beginning of a line on.
  const from = bytes.length > MOST ? bytes.indexOf(0x0a, bytes.length - MOST) + 1 : 0;
  return bytes.subarray(from).toString();
}
