/** What a disk refuses, told so that a user knows what to do. */

/** What the disk refused, in a sentence that says what to do. */
export class DiskError extends Error {
  constructor(
    message: string,
    readonly code: string,
    cause?: unknown,
  ) {
    super(message, { cause });
  }
}

/** The sentence for an error of `node:fs`; other errors as they are. */
export function diskError(error: unknown, at: string): unknown {
  const path = at.replace(/\/\.$/, "");
  const code = (error as NodeJS.ErrnoException)?.code;
  const say = (sentence: string): DiskError => new DiskError(sentence, code!, error);
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return say(
        `The disk is full, so ${path} could not be written: free some space and try again. What was recorded before is safe.`,
      );
    case "EROFS":
      return say(`${path} is on a file system that is mounted read-only: mount it writable to record anything.`);
    case "EACCES":
    case "EPERM":
      return say(`${path} can only be read by this user: make it writable to record anything.`);
    case "EIO":
      return say(`The disk failed at ${path}: check it before you go on. What was not synced yet may be lost.`);
    case "ELOOP":
    case "ENOTDIR":
    case "EISDIR":
    case "EEXIST":
      return say(`${path} is not what a store has there: run \`shepherd fsck\`.`);
    case "ENOENT":
      return say(
        `There is no directory for ${path}, and none can be made: see whether the store was moved or removed.`,
      );
    case "EMFILE":
    case "ENFILE":
      return say(`Too many files are open to open ${path} too: raise the limit (\`ulimit -n\`).`);
    default:
      return error;
  }
}

/** Whether the disk takes no writes now, but can be read. */
export const isReadOnly = (error: unknown): error is DiskError =>
  error instanceof DiskError && ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM"].includes(error.code);
