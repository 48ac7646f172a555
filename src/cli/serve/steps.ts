/** Commands in runs: as a step, as a line of a shell, in a copy that is thrown away. */
import { type CommandResult, performCommand } from "../../run/command.ts";
import { grade as gradeStep } from "../../run/grade.ts";
import { outputOf } from "../../run/output.ts";
import { openShell } from "../../run/shell.ts";
import { type ScopeRef, workspacePath } from "../../scope/registry.ts";
import type { LiveScope } from "../../scope/scope.ts";
import { Exit, type ExitCode } from "../errors.ts";
import { settleModels } from "../operate.ts";
import { below, chooseStep } from "../select.ts";
import type { Context } from "../verb.ts";
import { type Body, numberIn, only, textIn, textsIn } from "./body.ts";
import { type Request, type Route, runIn, type Serving } from "./request.ts";

/** Where a command starts: in the directory that the request names in the workspace, or that of who asks. */
async function placeIn({ store }: Serving, { body }: Request, run: ScopeRef, { cwd }: Context): Promise<string> {
  return textIn(body, "at") ?? below(await workspacePath(store, run.log), cwd);
}

function argvIn(body: Body): string[] {
  const argv = textsIn(body, "command") ?? [];
  if (argv.length === 0) throw new Exit(2, `Which command? The request has it as "command", a list of words.`);
  return argv;
}

const MOST_SECONDS = 2 ** 31 / 1000 - 1;

/** Aborts with the request, or after the seconds that it names. */
function limited({ body, signal }: Request): { signal: AbortSignal; late: () => boolean } {
  const seconds = numberIn(body, "timeout", 0.001);
  if (seconds === undefined) return { signal, late: () => false };
  const late = AbortSignal.timeout(Math.min(seconds, MOST_SECONDS) * 1000);
  return { signal: AbortSignal.any([signal, late]), late: () => late.aborted && !signal.aborted };
}

/** What a step has to say of itself. */
async function stepOf(
  scope: LiveScope,
  { n, code, signal, ending }: CommandResult,
  late: boolean,
): Promise<{ object: object }> {
  const id = scope.writer.fold.steps.get(n)?.sealed?.id ?? null;
  const output = (await outputOf(scope, n)).toString("base64");
  return { object: { scope: scope.ref.name, n, id, code, signal, status: ending, timedOut: late, output } };
}

/** Does something in a held run, as a step. */
async function performed(
  serving: Serving,
  request: Request,
  run: ScopeRef,
  work: (scope: LiveScope, signal: AbortSignal) => Promise<CommandResult>,
): Promise<ExitCode> {
  const done = await serving.holds.perform(run, async (scope, stop) => {
    // The time begins when its turn has come.
    request.signal.throwIfAborted();
    const { signal, late } = limited(request);
    const result = await work(scope, AbortSignal.any([signal, stop]));
    return { line: await stepOf(scope, result, late()), well: result.ending === "done" };
  });
  for (const warning of serving.holds.lacking(run)) await request.send({ warning });
  await request.send(done.line);
  return done.well ? 0 : 1;
}

export const step: Route = async (serving, request) => {
  only(request.body, "run", "command", "at", "timeout", "cwd");
  const { run, context } = await runIn(serving, request, { destructive: true });
  const argv = argvIn(request.body);
  const at = await placeIn(serving, request, run, context);
  return performed(serving, request, run, (scope, signal) => performCommand(scope, argv, signal, { at }));
};

export const act: Route = async (serving, request) => {
  only(request.body, "run", "text", "timeout", "cwd");
  const { run } = await runIn(serving, request, { destructive: true });
  const text = textIn(request.body, "text") ?? "";
  if (text.trim() === "")
    throw new Exit(2, `Which command? The request has it as "text", as one types it into a shell.`);
  return performed(serving, request, run, async (scope, signal) => {
    const shell = await openShell(scope);
    const { n, code } = await shell.run(text, signal);
    const status = scope.writer.fold.steps.get(n)?.outcome?.status;
    return { n, code, signal: null, ending: status === "done" || status === "aborted" ? status : "failed" };
  });
};

export const grade: Route = async (serving, request) => {
  only(request.body, "run", "step", "command", "at", "timeout", "cwd");
  const { run, context } = await runIn(serving, request, { destructive: true });
  const argv = argvIn(request.body);
  const word = textIn(request.body, "step") ?? `${run.name}@`;
  const { revision } = await chooseStep(context, [run.name, word], "grade RUN STEP");
  const { n } = revision.step;
  const at = await placeIn(serving, request, run, context);
  const { signal, late } = limited(request);
  const {
    code,
    signal: by,
    ending,
    output,
  } = await gradeStep(serving.store, run.name, n, argv, {
    ...{ signal, settle: settleModels, at },
    onForgotten: (warning) => void request.send({ warning }),
  });
  const told = { code, signal: by, status: ending, timedOut: late(), output: output.toString("base64") };
  await request.send({ object: { scope: run.name, n, ...told } });
  return ending === "done" ? 0 : 1;
};
