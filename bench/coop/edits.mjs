// The patch of a feature as the edits of a worker.
import { filesOf } from "./tasks.mjs";

/** A patch for each hunk, as it applies once those before it have been applied; what makes, removes or renames a file is one. */
export function editsOf(patch) {
  return filesOf(patch).flatMap(({ part }) => {
    const [head, ...hunks] = part.split(/^(?=@@ )/m);
    if (hunks.length < 2 || /^(?:new|deleted) file|^rename/m.test(head)) return [part];
    return hunks.map(
      (hunk) => head + hunk.replace(/^@@ -\d+(,\d+)? \+(\d+)/, (all, _count, to) => all.replace(/-\d+/, `-${to}`)),
    );
  });
}
