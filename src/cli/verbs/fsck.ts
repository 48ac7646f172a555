/** `shepherd fsck`: check the store. */

import { followers } from "../../scope/followers.ts";
import { realDisk } from "../../trace/disk.ts";
import { fsck, mend } from "../../trace/fsck.ts";
import { storeDirectory } from "../context.ts";
import { Exit } from "../errors.ts";
import { plain } from "../output.ts";
import type { Verb } from "../verb.ts";
import { counted } from "../words.ts";

export const verb: Verb = {
  brief: "check the store",
  usage: "[--full] [--repair]",
  most: 0,
  options: {
    full: { type: "boolean", help: "read every object and compare it with its hash" },
    repair: { type: "boolean", help: "set single flipped bits right" },
    verbose: { type: "boolean", short: "v", help: "notes too: what is odd, explained, and needs nothing" },
  },
  details:
    "Trusts nothing: each record, hash, link and law is checked. Reads a damaged store as well as a sound one, and changes nothing without --repair.",
  run: async (context, flags) => {
    const { out, signal } = context;
    const directory = storeDirectory();
    if (realDisk.list(directory).length === 0)
      throw new Exit(2, `There is no store in ${directory} yet: \`shepherd run\` makes one.`);
    const store = { disk: realDisk, directory };
    const progress = out.progress();
    const counts = { error: 0, warning: 0, note: 0 };
    const onProgress = ({ phase, done, total }: { phase: string; done: number; total: number }): void =>
      progress.at(`checking ${phase}: ${done} of ${total}`);
    for await (const finding of fsck(store, { followers, full: flags.full === true, signal, onProgress })) {
      const mended = flags.repair === true && finding.fix !== undefined;
      if (mended) await mend(store, finding);
      counts[finding.severity]++;
      out.object({ ...finding, mended });
      if (finding.severity === "note" && !flags.verbose) continue;
      progress.done();
      const style = finding.severity === "error" ? "red" : finding.severity === "warning" ? "yellow" : "dim";
      out.say(`${out.style(style, finding.severity.padEnd(7))} ${plain(finding.text)}`, 8);
      if (mended) out.say("        Set right.");
      else if (finding.repair) out.say(`        ${plain(finding.repair)}`);
    }
    progress.done();
    out.object({ errors: counts.error, warnings: counts.warning, notes: counts.note });
    const notes = counts.note > 0 && !flags.verbose ? ` (${counted(counts.note, "note")}: --verbose)` : "";
    out.say(
      counts.error + counts.warning === 0
        ? `The store is sound${notes}.`
        : `${counts.error} errors, ${counts.warning} warnings${notes}.`,
    );
    return counts.error > 0 ? 4 : undefined;
  },
};
