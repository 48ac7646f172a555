/**
 * The live supervisor: an agent with a code body, whose argument is other agents. It has no loop of its own: each look is an effect whose recorded
 * outcome is what was decided, and so is each thing that is done. Killed, it is run again against what stands there, and decides nothing twice.
 *
 *     start       the workers, each a run of its own on the commit of main on which this run stands
 *     tick        waits for news, asks the policy once: what is decided, and what was said of calls meanwhile
 *     act         does one decision
 *     common …    the end that the user asked for (`ending.ts`)
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Agent, agent } from "../../agent/agent.ts";
import { OverBudget } from "../../agent/errors.ts";
import type { RunState } from "../../run/lifecycle.ts";
import { mainOf } from "../../run/pattern.ts";
import { type Task, taskOf } from "../../run/start.ts";
import { type Grants, workspacePath } from "../../scope/registry.ts";
import type { Carry, Json } from "../../trace/ports.ts";
import type { EmbeddedStore } from "../../trace/store.ts";
import { act } from "./act.ts";
import { type Crew, openCrew } from "./crew.ts";
import { again, plain } from "./effects.ts";
import { endingEffects, finish } from "./ending.ts";
import type { Asked, Verdict } from "./gates.ts";
import { EMPTY, type Memory, remember } from "./memory.ts";
import { type Mind, mindOf, NOTHING_SAID } from "./mind.ts";
import { type Finished, type Plan, SUPERVISE, type Taken, type Tick, type Told } from "./plan.ts";
import { type Reader, readerOf } from "./reading.ts";
import { NOTHING_SPENT, type Spent, together } from "./standing.ts";
import type { WorkerView } from "./view.ts";
import { baseOf, makeWorker } from "./workers.ts";

export interface Rim {
  store: EmbeddedStore;
  /** US dollars instead of those of the plan. */
  budget?: number;
  grants(task: Task): Promise<Grants>;
  /** What a worker starts with besides the files. @param workspace path of the user's directory */
  carry(task: Task, workspace: string): Promise<Carry>;
  tell(event: Told): void;
}

/** What follows from what is written down: the body keeps it up to date, and the effects read it. */
interface Known {
  plan: Plan;
  self: string;
  /** How each stands. */
  stood: Map<string, RunState>;
  seen: { [worker: string]: number };
  paths: Map<string, readonly string[]>;
  memory: Memory;
  /** What the policy has cost. */
  spent: Spent;
}

export interface Supervisor {
  agent: Agent<Plan, Finished>;
  /** Lets go of the workers. @param stop stops those that it has started, as a Ctrl-C does */
  close(stop: boolean): Promise<void>;
}

/** The supervisor as an agent of the library. `rim` is what it has of this process. */
export function supervisor(rim: Rim): Supervisor {
  const { store, tell } = rim;
  let known: Known;
  let opened: Promise<{ crew: Crew; mind: Mind }> | null = null;
  const readers = new Map<string, Reader>();

  const open = (): Promise<{ crew: Crew; mind: Mind }> => {
    opened ??= (async () => {
      const { plan, self } = known;
      const mind = mindOf(store, plan.policy);
      const params = { by: self, right: "gate", ...(plan.guard !== null && { as: SUPERVISE }) };
      const { judge } = mind;
      const gate = judge && { params, judge: async (asked: Asked) => judge(asked, await viewNow(asked.run)) };
      return {
        mind,
        crew: await openCrew({ store, base: await baseOf(store, self), gate, tell }),
      };
    })();
    return opened;
  };

  /** A worker as its log is read now: a call may come before it was looked at for the first time. */
  const viewNow = async (run: string): Promise<WorkerView> => {
    for (;;) {
      const reader = readers.get(run);
      if (reader) return reader.view({ state: "running" });
      await sleep(10);
    }
  };

  const start = again<null, string[]>(async () => {
    const { plan, self } = known;
    const base = await baseOf(store, self);
    const names: string[] = [];
    for (const [at, worker] of plan.workers.entries())
      names.push(
        await makeWorker(store, base, at, worker, {
          grants: async (task) => ({ ...(await rim.grants(task)), ...guardsFor(task, plan.guard) }),
          carry: (task) => rim.carry(task, base.workspace.path),
        }),
      );
    return names;
  });

  const tick = again<{ workers: string[] }, Tick>(async ({ workers }, { signal }) => {
    const { plan, stood, seen, memory } = known;
    const { crew, mind } = await open();
    crew.know(seen);
    for (const tail of await crew.enter(workers)) {
      if (readers.has(tail.name)) continue;
      const task = await taskOf(store, tail.name);
      const workspace = await workspacePath(store, tail.log);
      const about = { task, paths: known.paths.get(tail.name) ?? [], workspace };
      readers.set(tail.name, readerOf(store, tail, about));
    }
    const look = async () => {
      const standing = await crew.standing(workers);
      const views = await Promise.all(workers.map((name) => readers.get(name)!.view(standing.get(name)!)));
      tell({ event: "look", views });
      return { standing, views };
    };
    await look();
    const news = await crew.news(workers, { every: plan.every, settle: mind.settle(plan.every), signal });
    const { standing, views } = await look();
    checkBudget(rim.budget ?? plan.budget, together([crew.spent([...stood.keys()]), known.spent]), known.self);
    const at = Date.now();
    // A model is not asked the same again, unless what it holds back waits for its word.
    const asks = !mind.asks || news.count > 0 || views.some(({ state }) => state === "paused");
    const { decisions, refused, spent } = asks ? await mind.decide(views, memory, signal) : NOTHING_SAID;
    const said = crew.verdicts();
    const done: Tick = {
      at,
      news: news.count,
      waited: news.first === null ? null : Math.max(0, at - news.first),
      asked: Date.now() - at,
      model: spent.calls > 0,
      decisions: decisions.map((each) => ({ ...each, seq: news.seen[each.decision.worker]! })),
      refused,
      verdicts: said.filter(isSaid).map((verdict) => ({ ...verdict, input: short(verdict.input) })),
      passed: said.filter((verdict) => !isSaid(verdict)).map(({ ms }) => ms),
      states: Object.fromEntries(
        [...standing].flatMap(([name, { state }]) => (stood.get(name) === state ? [] : [[name, state]])),
      ),
      over: [...standing.values()].every(({ over }) => over) && decisions.length === 0,
      seen: Object.fromEntries(Object.entries(news.seen).filter(([name, seq]) => seen[name] !== seq)),
      spent,
    };
    tell({ event: "tick", tick: done });
    return done;
  });

  const acts = again<Taken, { refused: string | null }>(async (taken, { key, signal }) => {
    const refused = await act(store, taken, {
      key,
      signal,
      who: known.self,
      holds: (run) => known.stood.has(run),
    });
    tell({ event: "acted", taken, refused });
    return { refused };
  });

  const made = agent(SUPERVISE, {
    input: plain<Plan>(),
    effects: { start, tick, act: acts, ...endingEffects(store, () => known.self, tell) },
    body: async (plan: Plan, ctx): Promise<Finished> => {
      const stood = new Map<string, RunState>();
      const paths = new Map<string, readonly string[]>();
      known = { plan, self: ctx.run, stood, seen: {}, paths, memory: EMPTY, spent: NOTHING_SPENT };
      const started = await ctx.do.start(null);
      for (const [at, name] of started.entries()) paths.set(name, plan.workers[at]!.paths);
      for (const run of plan.runs) paths.set(run.name, run.paths);
      for (const name of paths.keys()) stood.set(name, "idle");
      const watch = async (workers: string[]): Promise<void> => {
        for (;;) {
          const looked = await ctx.do.tick({ workers });
          for (const [name, state] of Object.entries(looked.states)) stood.set(name, state);
          Object.assign(known.seen, looked.seen);
          known.spent = together([known.spent, looked.spent]);
          known.memory = remember(
            known.memory,
            looked.decisions.map(({ decision: { worker, action }, cause }) => ({ worker, cause, action })),
          );
          for (const taken of looked.decisions) await ctx.do.act(taken);
          if (looked.over) return;
        }
      };
      await watch([...stood.keys()]);
      return finish(ctx.do, stood, watch, plan);
    },
  });
  return {
    agent: made as unknown as Agent<Plan, Finished>,
    close: async (stop) => {
      const crew = (await opened?.catch(() => null))?.crew;
      if (stop) await crew?.stop();
      await crew?.close();
    },
  };
}

/** What holds for the calls of a worker while its supervisor is not there. A command is one step: nobody is asked within it. */
const guardsFor = ({ worker }: Task, guard: Plan["guard"]): Pick<Grants, "guards"> =>
  guard === null || worker === "command" ? {} : { guards: { [SUPERVISE]: guard } };

const isSaid = ({ decision }: Verdict): boolean => decision !== "allow";

/** What a call is about is enough beside what was said of it: the call itself stands in the log of its worker. */
const LONGEST = 300;
function short(input: Json): string {
  const text = mainOf(input)?.text ?? JSON.stringify(input);
  return text.length > LONGEST ? `${text.slice(0, LONGEST).toWellFormed()}…` : text.toWellFormed();
}

function checkBudget(budget: number | null, { usd }: Spent, run: string): void {
  if (budget === null || usd < budget) return;
  throw new OverBudget(`The budget of $${budget} is spent: $${usd.toFixed(4)}.`, {
    run,
    hint: "Resumed with more, it goes on.",
  });
}
