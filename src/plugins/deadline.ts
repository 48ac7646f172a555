/** An answer that must come before whoever waits for it goes on without. */

/** What `work` gives; `late` if it takes longer than `ms`. What it gives or throws behind that is nobody's matter. */
export function within<T>(ms: number, work: Promise<T>, late: T): Promise<T> {
  let timer: NodeJS.Timeout;
  const limit = new Promise<T>((resolve) => {
    timer = setTimeout(() => resolve(late), ms);
  });
  return Promise.race([work, limit]).finally(() => clearTimeout(timer));
}
