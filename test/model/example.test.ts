/** EXAMPLE.md on the model, frame by frame: every column of its table, and each scenario after it. */
import { describe, expect, it } from "vitest";
import { play, refusal } from "./play.ts";
import { current, traceOf } from "./query.ts";
import { initial, step } from "./step.ts";
import type { Call, Command, Item, System } from "./types.ts";
import { digest } from "./value.ts";

const W0 = { "README.md": 1, "auth.js": 10 };
const W1 = { "README.md": 1, "auth.js": 11 };
const W2 = { "README.md": 1, "auth.js": 11, "limit.js": 20 };
const A: Call = { tool: "ls", mode: "exclusive", tier: "reversible" };
const B: Call = { tool: "sed", mode: "exclusive", tier: "reversible" };
const user: Item = { role: "user", text: 7 };
const blocks = [{ text: 1, call: A }, { call: B }];
const asked: Item = { role: "assistant", blocks };
const result = (of: number, output: number): Item => ({ role: "result", of, status: "done", output });
const scope = "fix";
const thread = "main";

const before: Command[] = [
  { do: "run", scope, task: 7, grants: ["ask", "write", "act"] }, // seq 0, 1
  { do: "ask", scope, thread }, // 2
  { do: "block", scope, thread, block: { text: 1, call: A } }, // 3
  { do: "call", scope, thread, of: 0 }, // 4
  { do: "lock", scope, n: 2 },
  { do: "block", scope, thread, block: { call: B } }, // 5
  { do: "call", scope, thread, of: 1 }, // 6
];
const after: Command[] = [
  { do: "end", scope, n: 2, status: "done", output: 100 }, // 7
  { do: "answer", scope, thread }, // 8
  { do: "lock", scope, n: 3 },
  { do: "write", scope, n: 3, edit: ["auth.js", 11] },
  { do: "end", scope, n: 3, status: "done", output: 101 }, // 9
  { do: "observe", scope, by: "boss" }, // 10
];

const M = initial(W0);
const killed = play(M, before);
const done = play(killed, after);
const fix = (sys: System) => traceOf(sys, scope);
const sealedN = (sys: System, name = scope) => traceOf(sys, name).sealed.map((s) => s.n);
const ids = (sys: System, name = scope) => traceOf(sys, name).sealed.map((s) => s.id);
const head = (sys: System, name = scope) => traceOf(sys, name).sealed.at(-1)!;
const statuses = (sys: System, name = scope) => head(sys, name).commit.outcome.status;

describe("one run, frame by frame", () => {
  it("writes the frames of the table, in its order", () => {
    const rows = fix(done).frames.map((f) => [f.seq, f.n, f.phase]);
    expect(rows).toEqual([
      [0, 0, "intent"],
      [1, 0, "outcome"],
      [2, 1, "intent"],
      [3, 1, "part"],
      [4, 2, "intent"],
      [5, 1, "part"],
      [6, 3, "intent"],
      [7, 2, "outcome"],
      [8, 1, "outcome"],
      [9, 3, "outcome"],
      [10, null, "note"],
    ]);
    expect(fix(done).steps.map((s) => s.intent.facts.kind)).toEqual(["run", "model", "tool", "tool"]);
  });

  it("seals with the frames of the column `sealed by it`", () => {
    expect(fix(done).sealed.map((s) => [s.seq, s.n])).toEqual([
      [1, 0],
      [8, 1],
      [8, 2],
      [9, 3],
    ]);
  });

  it("gives each commit the parents of the table", () => {
    const [c0, c1, c2] = ids(done);
    const m = head(M, "main").id;
    expect(fix(done).sealed.map((s) => s.commit.parents)).toEqual([[m], [c0], [c1], [c2]]);
  });

  it("gives each commit the state of the table, with open calls where it says so", () => {
    const states = fix(done).sealed.map((s) => s.commit.state);
    expect(states).toEqual([
      { workspace: W0, threads: { main: [user] } },
      { workspace: W0, threads: { main: [user, asked] } },
      { workspace: W0, threads: { main: [user, asked, result(0, 100)] } },
      { workspace: W1, threads: { main: [user, asked, result(0, 100), result(1, 101)] } },
    ]);
    expect(open(play(done, [{ do: "fork", scope, n: 1, at: "step", k: 1 }]), "fix.1")).toEqual([0, 1]);
    expect(open(play(done, [{ do: "fork", scope, n: 2, at: "step", k: 1 }]), "fix.1")).toEqual([1]);
    expect(open(done, scope)).toEqual([]);
  });

  it("syncs the model's intent before the request goes out, and seals nothing by the observer's note", () => {
    const asking = play(M, before.slice(0, 2));
    expect(asking.scopes[scope]!.log.synced).toBe(3);
    expect(asking.world).toMatchObject([{ does: "act", scope, n: 1, tier: "repeatable" }]);
    expect(ids(done)).toEqual(ids(play(killed, after.slice(0, -1))));
  });

  it("gives the lock to A, lets B wait for it, and passes it on when A's outcome is written", () => {
    expect(refusal(killed, { do: "lock", scope, n: 3 })).toBe("waiting");
    expect(killed.scopes[scope]!.live!.holders).toEqual([2]);
  });

  it("shows rows before their seal, and forks at the intent of 3 only once 2 is sealed", () => {
    const fork: Command = { do: "fork", scope, n: 3, at: "intent", k: 1 };
    expect(refusal(killed, fork)).toBe("unsealed");
    expect(refusal(play(killed, after.slice(0, 1)), fork)).toBe("unsealed");
    const child = play(play(killed, after.slice(0, 2)), [fork]);
    expect(traceOf(child, "fix.1").head).toBe(ids(child)[2]);
    expect(open(child, "fix.1")).toEqual([1]);
  });
});

const open = (sys: System, name: string): readonly number[] => current(traceOf(sys, name), thread).open;

describe("kill -9 after seq 6", () => {
  const crash: Command = { do: "crash", power: false, keep: 0 };
  const recover: Command[] = [
    { do: "recover", scope: "main" },
    { do: "recover", scope },
  ];
  const rest: Command[] = [
    { do: "lock", scope, n: 2 },
    { do: "end", scope, n: 2, status: "done", output: 100 },
    { do: "lock", scope, n: 3 },
    { do: "write", scope, n: 3, edit: ["auth.js", 11] },
    { do: "end", scope, n: 3, status: "done", output: 101 },
  ];
  const halfWritten = play(killed, [{ do: "write", scope, n: 2, edit: ["auth.js", 66] }]);
  const recovered = play(halfWritten, [crash, ...recover]);

  it("ends the model call as cut, turns the roots back and attempts both calls again, under epoch 2", () => {
    expect(fix(recovered).frames.slice(7)).toMatchObject([
      { epoch: 2, n: 1, phase: "outcome", facts: { status: "cut" } },
      { n: 2, phase: "part", facts: { attempt: 1, aborted: true } },
      { n: 2, phase: "part", facts: { attempt: 2 } },
      { n: 3, phase: "part", facts: { attempt: 1, aborted: true } },
      { n: 3, phase: "part", facts: { attempt: 2 } },
    ]);
    expect(recovered.scopes[scope]!.live!.workspace).toEqual(W0);
  });

  it("comes to the same state as the run that was not killed, with one intent and one outcome a step", () => {
    const sys = play(recovered, rest);
    expect(fix(sys).state).toEqual(fix(done).state);
    expect(sealedN(sys)).toEqual([0, 1, 2, 3]);
    expect(
      fix(sys).steps.map((s) => fix(sys).frames.filter((f) => f.n === s.n && f.phase === "outcome").length),
    ).toEqual([1, 1, 1, 1]);
  });

  it("comes to the same when it is killed again and again, at any point of the recovery", () => {
    for (let at = 0; at < 12; at++) {
      let sys = play(killed, [crash, { do: "recover", scope: "main" }]);
      sys = play(sys, [{ ...crash, during: { do: "recover", scope }, after: at } as Command]);
      sys = play(sys, [{ ...crash, during: { do: "recover", scope }, after: at + 1 } as Command, ...recover, ...rest]);
      expect(ids(sys)).toEqual(ids(play(recovered, rest)));
    }
  });
});

describe("revert 2, and undo", () => {
  const reverted = play(done, [{ do: "revert", scope, n: 2 }]);

  it("appends step 4 with the state of c2, on c3, which stays reachable", () => {
    const [, , c2, c3] = ids(done);
    expect(head(reverted)).toMatchObject({ n: 4, commit: { kind: "revert", parents: [c3], intent: { what: c2 } } });
    expect(head(reverted).commit.state).toEqual(fix(done).sealed[2]!.commit.state);
    expect(reverted.scopes[scope]!.live!.workspace).toEqual(W0);
    expect(ids(reverted).slice(0, 4)).toEqual(ids(done));
    expect(open(reverted, scope)).toEqual([1]);
  });

  it("answers B with `not run: reverted` at resume", () => {
    const sys = play(reverted, [{ do: "resume", scope, thread }]);
    const notRun: Item = { role: "result", of: 1, status: "not-run", output: "reverted" };
    expect(fix(sys).state.threads.main).toEqual([user, asked, result(0, 100), notRun]);
    expect(head(sys).n).toBe(5);
  });

  it("runs B as step 5 with `--open perform`, and the next request equals the recorded one", () => {
    const sys = play(reverted, [
      { do: "resume", scope, thread, open: "perform" },
      { do: "lock", scope, n: 5 },
      { do: "write", scope, n: 5, edit: ["auth.js", 11] },
      { do: "end", scope, n: 5, status: "done", output: 101 },
      { do: "ask", scope, thread },
    ]);
    const recorded = play(done, [{ do: "ask", scope, thread }]);
    expect(fix(sys).steps.at(-1)!.intent.facts).toEqual(fix(recorded).steps.at(-1)!.intent.facts);
  });

  it("`undo` appends step 5 with the state of c3 again", () => {
    const sys = play(reverted, [{ do: "undo", scope }]);
    expect(head(sys)).toMatchObject({ n: 5, commit: { kind: "undo" } });
    expect(head(sys).commit.state).toEqual(fix(done).state);
    expect(sys.scopes[scope]!.live!.workspace).toEqual(W1);
    expect(refusal(sys, { do: "undo", scope })).toBe("nothing");
  });
});

const forked = play(done, [{ do: "fork", scope, n: 3, at: "step", k: 2 }]);
const change: Command[] = [
  { do: "ask", scope: "fix.1", thread },
  { do: "block", scope: "fix.1", thread, block: { call: { tool: "write", mode: "exclusive", tier: "reversible" } } },
  { do: "answer", scope: "fix.1", thread },
  { do: "call", scope: "fix.1", thread, of: 0 },
  { do: "lock", scope: "fix.1", n: 5 },
  { do: "write", scope: "fix.1", n: 5, edit: ["limit.js", 20] },
  { do: "end", scope: "fix.1", n: 5, status: "done", output: 102 },
];
const changed = play(forked, change);

describe("fork 3 -k 2", () => {
  it("makes two refs to c3 and a note in `fix`, no step; each goes on at 4", () => {
    expect(["fix.1", "fix.2"].map((name) => traceOf(forked, name).head)).toEqual([ids(done)[3], ids(done)[3]]);
    expect(fix(forked).frames.at(-1)).toMatchObject({
      phase: "note",
      facts: { note: "forked", scopes: ["fix.1", "fix.2"] },
    });
    expect(ids(forked)).toEqual(ids(done));
    expect(sealedN(changed, "fix.1")).toEqual([4, 5]);
    expect(forked.scopes["fix.2"]!.live!.workspace).toEqual(W1);
  });

  it("gives siblings that do the same the same ids", () => {
    const same = change.map((c) => ({ ...c, scope: "fix.2" }) as Command);
    const sys = play(changed, same);
    expect(ids(sys, "fix.2")).toEqual(ids(sys, "fix.1"));
    expect(sys.world.map((a) => a.key)).toHaveLength(new Set(sys.world.map((a) => a.key)).size);
  });
});

describe("merge and landing", () => {
  const merged = play(changed, [{ do: "merge", scope: "fix.1" }]);

  it("a parent that has not moved takes the child's files and threads, as its step 4", () => {
    const [, , , c3] = ids(done);
    expect(head(merged)).toMatchObject({ n: 4, commit: { kind: "merge", parents: [c3, head(changed, "fix.1").id] } });
    expect(fix(merged).state).toEqual(traceOf(changed, "fix.1").state);
    expect(merged.scopes[scope]!.live!.workspace).toEqual(W2);
  });

  it("a parent that has moved keeps its threads, and the step carries a summary", () => {
    const moved = play(changed, [{ do: "message", scope, text: 8 }]);
    const sys = play(moved, [{ do: "merge", scope: "fix.1" }]);
    expect(fix(sys).state).toEqual({ workspace: W2, threads: fix(moved).state.threads });
    expect(head(sys).commit.outcome.summary).toBe(`summary of ${head(changed, "fix.1").id}`);
    const told = play(moved, [{ do: "merge", scope: "fix.1", tell: true }]);
    expect(fix(told).state.threads.main!.at(-1)).toEqual({ role: "user", text: head(told).commit.outcome.summary });
  });

  const edited = play(merged, [{ do: "edit", edit: ["README.md", 2] }]);
  const landed = play(edited, [{ do: "merge", scope }]);

  it("landing finds the user's edit as one external step, then lands as one step", () => {
    expect(traceOf(landed, "main").sealed.map((s) => s.commit.kind)).toEqual(["external", "external", "landing"]);
    expect(landed.user).toEqual({ ...W2, "README.md": 2 });
    expect(head(landed, "main").commit.parents).toEqual([ids(landed, "main")[1], head(merged).id]);
    expect(landed.staged).toBe(false);
  });

  it("a landing plan is synced before the first path is exchanged", () => {
    for (let at = 0; at < 12; at++) {
      const power: Command = { do: "crash", power: true, keep: 0, during: { do: "merge", scope }, after: at };
      const sys = play(edited, [power, { do: "recover", scope: "main" }, { do: "recover", scope }]);
      const again = traceOf(sys, "main").sealed.some((s) => s.commit.kind === "landing")
        ? sys
        : play(sys, [{ do: "merge", scope }]);
      expect(again.user).toEqual(landed.user);
      expect(again.staged).toBe(false);
    }
  });

  it("keeps what the user saves while it lands, and reports the path", () => {
    const sys = play(edited, [{ do: "merge", scope, race: ["auth.js", 99] }]);
    expect(sys.user).toEqual({ ...W2, "README.md": 2, "auth.js": 99 });
    expect(head(sys, "main").commit.outcome).toMatchObject({
      status: "conflict",
      conflict: { "auth.js": { theirs: 11 } },
    });
    expect(head(sys, "main").commit.parents).toHaveLength(1);
  });

  it("`undo` takes the landing back where the user has not touched it since", () => {
    expect(play(landed, [{ do: "undo", scope: "main" }]).user).toEqual({ ...W0, "README.md": 2 });
    const touched = play(landed, [
      { do: "edit", edit: ["auth.js", 99] },
      { do: "undo", scope: "main" },
    ]);
    expect(touched.user).toEqual({ "README.md": 2, "auth.js": 99 });
    expect(statuses(touched, "main")).toBe("conflict");
  });
});

describe("a payment in step 5 of fix.1", () => {
  const payment: Call = { tool: "pay", mode: "exclusive", tier: "compensable" };
  const paid = play(forked, [
    { do: "ask", scope: "fix.1", thread },
    { do: "block", scope: "fix.1", thread, block: { call: payment } },
    { do: "answer", scope: "fix.1", thread },
    { do: "call", scope: "fix.1", thread, of: 0 },
    { do: "lock", scope: "fix.1", n: 5 },
    { do: "act", scope: "fix.1", n: 5, tier: "compensable" },
    { do: "end", scope: "fix.1", n: 5, status: "done", output: 103 },
  ]);
  const key = digest(["fix.1", 5, traceOf(paid, "fix.1").steps[1]!.intent.facts]);
  const undone = (sys: System) => sys.world.filter((a) => a.does === "compensate").map((a) => a.key);

  it("has a key of scope, number and intent", () => {
    expect(paid.world.at(-1)).toMatchObject({ does: "act", scope: "fix.1", n: 5, tier: "compensable", key });
  });
  it("is compensated once by a discard or a revert past it", () => {
    const reverted = play(paid, [{ do: "revert", scope: "fix.1", n: 4 }]);
    expect(undone(reverted)).toEqual([key]);
    expect(undone(play(reverted, [{ do: "discard", scope: "fix.1" }]))).toEqual([key]);
    expect(undone(play(paid, [{ do: "discard", scope: "fix.1" }]))).toEqual([key]);
    expect(undone(play(paid, [{ do: "revert", scope: "fix.1", n: 5 }]))).toEqual([]);
  });
  it("belongs to `fix` once merged: a discard of fix.1 leaves it, a revert of fix past the merge takes it back", () => {
    const merged = play(paid, [{ do: "merge", scope: "fix.1" }]);
    const discarded = play(merged, [{ do: "discard", scope: "fix.1" }]);
    expect(undone(discarded)).toEqual([]);
    expect(undone(play(discarded, [{ do: "revert", scope, n: 3 }]))).toEqual([key]);
  });
  it("was never seen by fix.2, and a scope forked after it only lists it", () => {
    const child = play(paid, [{ do: "fork", scope: "fix.1", n: 5, at: "step", k: 1 }]);
    expect(
      undone(
        play(child, [
          { do: "discard", scope: "fix.2" },
          { do: "discard", scope: "fix.1.1" },
        ]),
      ),
    ).toEqual([]);
    const [reverted, reply] = step(child, { do: "revert", scope: "fix.1.1", n: 4 });
    expect(undone(reverted)).toEqual([]);
    expect(reply).toMatchObject({ listed: ["fix.1:5"] });
  });
  it("is compensated once across a crash at any point of the revert", () => {
    for (let at = 0; at < 14; at++) {
      const crash: Command = {
        do: "crash",
        power: true,
        keep: at,
        during: { do: "revert", scope: "fix.1", n: 4 },
        after: at,
      };
      const sys = play(paid, [crash, { do: "recover", scope: "fix.1" }]);
      const again = traceOf(sys, "fix.1").sealed.some((s) => s.commit.kind === "revert")
        ? sys
        : play(sys, [{ do: "revert", scope: "fix.1", n: 4 }]);
      expect(undone(again)).toEqual([key]);
      expect(step(again, { do: "discard", scope: "fix.1" })[0].world).toEqual(again.world);
    }
  });
});
