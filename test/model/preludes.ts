/** Where journeys start: from nothing, or from where chance alone would seldom get to. */
import type { Call, Command, Edit, Name } from "./types.ts";

/** One turn of a scope with one call: asked for, begun with the lock, edited, ended. `n` is the number of the model step. */
export const turn = (scope: Name, n: number, call: Call, edits: readonly Edit[], act = false): Command[] => [
  { do: "ask", scope, thread: "main" },
  { do: "block", scope, thread: "main", block: { call } },
  { do: "answer", scope, thread: "main" },
  { do: "call", scope, thread: "main", of: 0 },
  ...(call.tier === "irreversible" ? [{ do: "allow", scope, n: n + 1 } as const] : []),
  { do: "lock", scope, n: n + 1 },
  ...edits.map((edit): Command => ({ do: "write", scope, n: n + 1, edit })),
  ...(act ? [{ do: "act", scope, n: n + 1, tier: call.tier } as const] : []),
  { do: "end", scope, n: n + 1, status: "done", output: 0 },
];
export const shell: Call = { tool: "sh", mode: "exclusive", tier: "reversible" };
export const payment: Call = { tool: "pay", mode: "exclusive", tier: "compensable" };
export const email: Call = { tool: "mail", mode: "exclusive", tier: "irreversible" };
export const reader: Call = { tool: "ls", mode: "shared", tier: "reversible" };
const agent: Call = { tool: "agent", mode: "container", tier: "reversible" };
export const begin: Command = { do: "run", scope: "amber", task: 0, grants: ["ask", "write", "act"] };
export const say = (call: Call, thread = "main"): Command => ({ do: "block", scope: "amber", thread, block: { call } });
export const ask = (thread = "main"): Command => ({ do: "ask", scope: "amber", thread });
export const call = (of: number, thread = "main"): Command => ({ do: "call", scope: "amber", thread, of });
export const two: Command = { do: "fork", scope: "amber", n: 0, at: "step", k: 2 };

export const preludes: ReadonlyArray<readonly Command[]> = [
  [],
  [begin],
  [begin, ...turn("amber", 1, shell, [["a", 3]])],
  [
    begin,
    two,
    ...turn("amber.1", 1, shell, [["a", 3]]),
    ...turn("amber.2", 1, shell, [
      ["a", 4],
      ["c", 5],
    ]),
  ],
  [begin, two, ...turn("amber.1", 1, shell, [["a", 3]]), ...turn("amber.2", 1, shell, [["b", 4]])],
  [begin, two, ...turn("amber.1", 1, payment, [], true), ...turn("amber.1", 3, payment, [["b", 4]], true)],
  [begin, ...turn("amber", 1, payment, [], true), ...turn("amber", 3, email, [], true)],
  // Two messages still coming, each with calls begun, in one scope.
  [
    begin,
    ask(),
    say(agent),
    call(0),
    ask("main/1.0"),
    say(shell, "main/1.0"),
    call(0, "main/1.0"),
    say(shell),
    call(1),
    say(reader),
    call(2),
  ],
  // Two calls of one message, the first of them at work while the message is still coming.
  [
    begin,
    ask(),
    say(shell),
    call(0),
    say(shell),
    call(1),
    { do: "lock", scope: "amber", n: 2 },
    { do: "write", scope: "amber", n: 2, edit: ["b", 6] },
  ],
  // Open calls after a revert.
  [
    begin,
    ...turn("amber", 1, shell, [["a", 3]]),
    ...turn("amber", 3, payment, [], true),
    { do: "revert", scope: "amber", n: 1 },
  ],
  // A payment and an email in doubt.
  [
    begin,
    ask(),
    say(payment),
    call(0),
    say(email),
    call(1),
    { do: "lock", scope: "amber", n: 2 },
    { do: "act", scope: "amber", n: 2, tier: "compensable" },
    { do: "crash", power: false, keep: 0 },
    { do: "recover", scope: "main" },
    { do: "recover", scope: "amber" },
  ],
  // A conflict to resolve, and the next turn begun.
  [
    begin,
    two,
    ...turn("amber.1", 1, shell, [["a", 3]]),
    ...turn("amber.2", 1, shell, [["a", 4]]),
    { do: "merge", scope: "amber.1" },
    { do: "merge", scope: "amber.2" },
    ask(),
    say(shell),
    call(0),
  ],
];
