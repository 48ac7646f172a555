/** A run behind the gateway, from the command line: what `gateway` and `resume` have in common. */
import { budgetHandler, spentIn } from "../gateway/budget.ts";
import { type Gateway, openGateway } from "../gateway/gateway.ts";
import { PRICES } from "../gateway/prices.ts";
import { drive } from "../run/drive.ts";
import { freshMain } from "../run/placing.ts";
import { doubtsOf, InDoubt, settlePending } from "../run/recover.ts";
import { beginRun, placeRun, type Task } from "../run/start.ts";
import type { SandboxSpec } from "../scope/exec/spec.ts";
import type { Limits } from "../scope/limits.ts";
import { workspacePath } from "../scope/registry.ts";
import type { LiveScope } from "../scope/scope.ts";
import { type Command, commandBehind, programsBehind } from "./behind.ts";
import { tellEnd } from "./end.ts";
import type { ExitCode } from "./errors.ts";
import { type How, putHow, togetherIn, upstreamsOf } from "./gateway.ts";
import { filesFor, type Launch, tellSteps } from "./launch.ts";
import { settleModels } from "./operate.ts";
import type { Progress } from "./output.ts";
import { counted } from "./words.ts";

export interface Recording {
  name: string;
  /** What its step 0 says, where that is still to be written. */
  task: Task;
  /** What runs behind it; null where programs find it by a variable. */
  command: Command | null;
  how: How;
  network: SandboxSpec["network"];
  /** See `AttachOptions`. */
  limits?: Limits | undefined;
  /** Whether the command is driven, see `commandBehind`. */
  drive: boolean;
}

export async function record(launch: Launch, recording: Recording): Promise<ExitCode> {
  const { store, out, signal, land } = launch;
  const { name, command, how, network } = recording;
  const prices = { ...PRICES, ...how.prices };
  const progress = out.progress();
  const gateway = await openGateway({ upstreams: upstreamsOf(how.upstreams), prices, ...togetherIn(store) });
  try {
    // What has the terminal for itself is not written between.
    const quiet = command !== null && !out.json && out.terminal && process.stdin.isTTY === true;
    let steps: { done(): Promise<void> } | null = null;
    const ending = await drive(store, name, {
      signal,
      limits: recording.limits,
      ...(command && { files: filesFor(launch, progress, { hide: [], network }) }),
      worker: command
        ? commandBehind(gateway, command, { out, quiet, drive: recording.drive })
        : programsBehind(gateway),
      prepared: async (scope) => {
        if (!quiet) steps = tellSteps(launch, scope);
        scope.handlers.push(budgetHandler(how.budget, prices, () => scope.writer.fold));
        await place(launch, scope, recording.task, progress).finally(() => progress.done());
        // With a network of its own a program cannot go around it.
        const enforced = command !== null && network !== "host";
        await scope.writer.note(null, { note: "gateway", enforced, how: await putHow(store, how) });
        if (!command) tellUrls(launch, scope, gateway);
      },
      ended: async (scope) => {
        await steps?.done();
        const { calls, usd } = spentIn(scope.writer.fold);
        out.object({ scope: name, calls, usd });
        out.line(`${name} has ${counted(calls, "model call")}${usd > 0 ? `, $${usd.toFixed(4)}` : ""}.`);
        if (!command) out.line(`Next: \`shepherd log ${name}\`; \`shepherd gateway --scope ${name}\` goes on.`);
      },
      // A run that broke off before it began to end: what it did is told before why.
    }).finally(() => steps?.done().catch(() => {}));
    if (command) return launch.lacks.code(await tellEnd(launch, { name, ending, land, error: null, unfit: false }));
    return ending === "done" ? 0 : 1;
  } finally {
    progress.done();
    await gateway.close();
  }
}

/** Step 0 stands on main as it is now, and so do all behind it; a run that goes on stands where it was. */
async function place({ store, signal }: Launch, scope: LiveScope, task: Task, progress: Progress): Promise<void> {
  const { fold } = scope.writer;
  let seed: Parameters<NonNullable<LiveScope["files"]>["restore"]>[2];
  if (!fold.header.origin && !fold.steps.get(0)?.outcome) {
    const directory = await workspacePath(store, scope.ref.log);
    const main = await freshMain(store, directory, { signal, onProgress: (at) => progress.at(at) });
    await placeRun(scope, fold.steps.has(0) ? 0 : await beginRun(scope, task), main, task);
    await scope.writer.sync();
    seed = main.sources;
  }
  const doubts = doubtsOf(scope);
  if (doubts.length > 0) throw new InDoubt(scope.ref.name, doubts);
  await settleModels(scope);
  await settlePending(scope);
  const { state, carry } = scope.head();
  if (state) await scope.files?.restore(state.roots.workspace, carry, seed);
}

function tellUrls({ out }: Launch, scope: LiveScope, { urls }: Gateway): void {
  const { name } = scope.ref;
  out.object({ scope: name, n: scope.head().n, ANTHROPIC_BASE_URL: urls.anthropic, OPENAI_BASE_URL: urls.openai });
  out.line(`export ANTHROPIC_BASE_URL=${urls.anthropic}`);
  out.line(`export OPENAI_BASE_URL=${urls.openai}`);
  out.warn(`shepherd: ${name} records what is sent there, until Ctrl-C. Whoever knows an address can use your keys.`);
}
