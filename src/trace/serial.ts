/** One thing at a time. */

/** Runs what it is given in the order in which it comes. What fails holds back nothing behind it: whoever gave it is told. */
export function serial(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const done = last.then(work);
    last = done.catch(() => {});
    return done;
  };
}
