/** How errors end a command: one sentence for the user, and an exit code. */

/** 0 done, 1 the work failed, 2 bad usage, 3 conflict or refused, 4 store or host unfit. */
export type ExitCode = 0 | 1 | 2 | 3 | 4;

/** Thrown by a verb to end with a sentence and an exit code. */
export class Exit extends Error {
  constructor(
    readonly code: ExitCode,
    message: string,
    readonly hint?: string,
  ) {
    super(message);
  }
}

const CODES: { [name: string]: ExitCode } = {
  NameError: 2,
  StepError: 2,
  ModelError: 2,
  SizeError: 2,
  PluginError: 2,
  ImageError: 2,
  RevisionError: 2,
  Busy: 3,
  NoOwner: 3,
  InDoubt: 3,
  Unacknowledged: 3,
  NameTaken: 3,
  Fenced: 3,
  GitError: 3,
  TarError: 3,
  BadBundle: 3,
  Clash: 3,
  ImportedScope: 3,
  Forgotten: 3,
  ForgottenAt: 3,
  Refused: 3,
  NewerFormat: 4,
  Missing: 4,
  StoreFull: 4,
  Unfit: 4,
  NoTool: 4,
  NoRoot: 4,
};

const SYSTEM: { [code: string]: string } = {
  ENOSPC:
    "The disk is full. Nothing that was written before is lost; free some room (`shepherd gc`, `shepherd du`) and try again.",
  EDQUOT: "Your disk quota is used up. Nothing that was written before is lost; free some room and try again.",
  EROFS: "The store or the directory is on a file system that is mounted read-only: it can be read, and not written.",
  EACCES: "The store or the directory cannot be read or written by this user.",
  EMFILE: "Too many files are open: raise the limit (`ulimit -n 4096`) and try again.",
};

/** Whether an error says no more than that something has another form than Shepherd gives it. */
export const isMisread = (error: unknown): boolean =>
  error instanceof TypeError ||
  error instanceof SyntaxError ||
  error instanceof RangeError ||
  (error instanceof Error && NO_JSON.test(error.message));

const NO_JSON = /^The (bytes are not UTF-8|text is not JSON|JSON is nested)/;

const GONE: ReadonlySet<string> = new Set(["ENOENT", "ESRCH", "ENOTCONN"]);

/** What to tell about an error that nobody caught: exit code and sentences. */
export function explain(error: unknown): { code: ExitCode; message: string; hint?: string } {
  if (error instanceof Exit)
    return { code: error.code, message: error.message, ...(error.hint && { hint: error.hint }) };
  if (!(error instanceof Error)) return { code: 1, message: String(error) };
  // It says already what to do.
  if (error.constructor.name === "DiskError") return { code: 4, message: error.message };
  // Files of a run that lie in the helper's mounts go with it; that they cannot be had for another reason is told as such.
  if (GONE.has((error as NodeJS.ErrnoException).code ?? "") && /'\/proc\/\d+\/root\//.test(error.message))
    return {
      code: 1,
      message: "The files of the scope went with the process that had mounted them: go on with `shepherd resume`.",
    };
  const system = SYSTEM[(error as NodeJS.ErrnoException).code ?? ""];
  if (system) return { code: 4, message: `${system} (${error.message})` };
  const { syscall, path, code: reason } = error as NodeJS.ErrnoException;
  if (syscall?.startsWith("spawn"))
    return { code: 4, message: `The program ${path} is needed and cannot be run (${reason}): is it on the PATH?` };
  // An owner's refusal has the name of what it threw.
  const name =
    error.constructor.name === "OwnerError" ? (error as Error & { type: string }).type : error.constructor.name;
  const code = CODES[name];
  return { code: code ?? 1, message: error.message };
}
