/** Commits: what a step is, without clock, host, cost, scope or number. */
import { canonical, encodeJson, link, sha256 } from "./bytes.ts";
import type { IntentFacts, Kind, OutcomeFacts, Status, Tier } from "./frame.ts";
import type { Hash, Link, Session, State } from "./ports.ts";

export interface Commit {
  type: "commit";
  v: 1;
  /** The commit sealed before it in its scope, then a merged head. */
  parents: Hash[];
  kind: Kind;
  tier: Tier;
  status: Status;
  intent: IntentFacts;
  outcome: OutcomeFacts;
  state: State;
}

export interface MadeCommit {
  id: Hash;
  bytes: Buffer;
  commit: Commit;
}

export function makeCommit(parents: Hash[], intent: IntentFacts, outcome: OutcomeFacts, state: State): MadeCommit {
  const commit: Commit = {
    type: "commit",
    v: 1,
    parents,
    kind: intent.kind,
    tier: outcome.tier ?? intent.tier,
    status: outcome.status,
    intent,
    outcome,
    state,
  };
  const bytes = encodeJson(commit);
  return { id: sha256(bytes), bytes, commit };
}

/** The node of a conversation that stands behind `before` and holds `item`. */
export function itemNode(before: Link | null, item: Link): { id: Link; bytes: Buffer } {
  const bytes = Buffer.from(canonical({ type: "items", v: 1, before, item }));
  return { id: link("items", sha256(bytes)), bytes };
}

/** The state after an outcome: the whole one that it sets, else the one before with its effects. */
export function applyOutcome(before: State, outcome: OutcomeFacts, made: (bytes: Buffer) => void): State {
  const state = outcome.state ?? before;
  let threads = state.threads;
  for (const [name, effect] of Object.entries(outcome.threads ?? {})) {
    const session: Session = Object.hasOwn(threads, name) ? threads[name]! : { items: null, shell: null };
    let items = session.items;
    for (const item of effect.append ?? []) {
      const node = itemNode(items, item);
      made(node.bytes);
      items = node.id;
    }
    threads = { ...threads, [name]: { items, shell: effect.shell === undefined ? session.shell : effect.shell } };
  }
  return { roots: { workspace: outcome.workspace ?? state.roots.workspace }, threads };
}
