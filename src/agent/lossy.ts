/** Events for somebody who may read slowly, or not at all: of more than a number that wait the oldest go. */

export interface Lossy<T> extends AsyncIterable<T> {
  push(event: T): void;
  end(): void;
}

const MOST = 1000;

/** @param left called once nobody reads any more */
export function lossy<T>(left: () => void): Lossy<T> {
  const waiting: T[] = [];
  let over = false;
  let wake: () => void = () => {};
  return {
    push: (event) => {
      if (over) return;
      waiting.push(event);
      if (waiting.length > MOST) waiting.shift();
      wake();
    },
    end: () => {
      over = true;
      wake();
    },
    [Symbol.asyncIterator]: async function* () {
      try {
        for (;;) {
          while (waiting.length > 0) yield waiting.shift()!;
          if (over) return;
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      } finally {
        over = true;
        left();
      }
    },
  };
}
