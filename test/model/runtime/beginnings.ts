/** Where sequences start: as those of the model alone do, and from what chance would seldom come to. */
import { ask, begin, call, email, payment, preludes, reader, say, shell, turn, two } from "../preludes.ts";
import type { Command, Edit, Name } from "../types.ts";

const wrote = (scope: Name, n: number, ...edits: Edit[]): Command[] => turn(scope, n, shell, edits);
const fork = (scope: Name): Command => ({ do: "fork", scope, n: 0, at: "step", k: 1 });
const merge = (scope: Name): Command => ({ do: "merge", scope });

const own: ReadonlyArray<readonly Command[]> = [
  // An email in doubt.
  [
    begin,
    ask(),
    say(email),
    call(0),
    { do: "allow", scope: "amber", n: 2 },
    { do: "lock", scope: "amber", n: 2 },
    { do: "act", scope: "amber", n: 2, tier: "irreversible" },
    { do: "crash", power: false, keep: 0 },
    { do: "recover", scope: "main" },
    { do: "recover", scope: "amber" },
  ],
  // Two that have merged the same from others: whoever merges both finds two bases that are equally near.
  [
    begin,
    two,
    fork("amber.1"),
    fork("amber.2"),
    ...wrote("amber.1", 1, ["a", 2]),
    ...wrote("amber.1.1", 1, ["b", 3]),
    ...wrote("amber.2", 1, ["b", 3]),
    ...wrote("amber.2.1", 1, ["a", 2]),
    merge("amber.1.1"),
    merge("amber.2.1"),
    merge("amber.1"),
    merge("amber.2"),
  ],
  // A landing that was undone, and a discard.
  [
    begin,
    ...wrote("amber", 1, ["a", 3]),
    merge("amber"),
    { do: "undo", scope: "main" },
    { do: "undo", scope: "main", op: 1 },
  ],
  [
    begin,
    two,
    ...wrote("amber.1", 1, ["a", 3]),
    { do: "discard", scope: "amber.1" },
    { do: "undo", scope: "amber.1" },
    { do: "undo", scope: "amber.1", op: 1 },
  ],
  // A payment of a child, taken back by who has merged it.
  [begin, two, ...turn("amber.1", 1, payment, [], true), merge("amber.1"), { do: "revert", scope: "amber", n: 0 }],
  // Calls that read together, and one that waits for them.
  [
    begin,
    ask(),
    ...[reader, reader, shell].flatMap((each, of) => [say(each), call(of)]),
    { do: "lock", scope: "amber", n: 2 },
    { do: "lock", scope: "amber", n: 3 },
  ],
  // Something that was there is destroyed.
  [begin, ...wrote("amber", 1, ["c", 3]), ...wrote("amber", 3, ["c", null]), { do: "forget", content: 3 }],
  // Siblings from before a call that has not ended.
  [
    begin,
    ask(),
    say(shell),
    say(shell),
    { do: "answer", scope: "amber", thread: "main" },
    call(0),
    call(1),
    { do: "lock", scope: "amber", n: 2 },
    { do: "end", scope: "amber", n: 2, status: "done", output: 0 },
    { do: "fork", scope: "amber", n: 3, at: "intent", k: 2 },
  ],
];

export const beginnings: ReadonlyArray<readonly Command[]> = [...preludes, ...own];
