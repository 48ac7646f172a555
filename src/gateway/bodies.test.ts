import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { makeWhole } from "./bodies.ts";

const body = (size: number): Readable => Readable.from([Buffer.alloc(size - 1), Buffer.alloc(1)]);
const sizeOf = async ({ length }: Buffer): Promise<number> => length;

test("a body is read whole, unless it is too large", async () => {
  const whole = makeWhole(10, 100);
  expect(await whole(body(10), sizeOf)).toBe(10);
  await expect(whole(body(11), sizeOf)).rejects.toMatchObject({ status: 413 });
});

test("bodies that are in hand leave no room for others; what is done with gives it back, also where it failed", async () => {
  const whole = makeWhole(10, 25);
  let done = (): void => {};
  const held = [1, 2].map(() =>
    whole(
      body(10),
      () =>
        new Promise<void>((resolve) => {
          const before = done;
          done = () => {
            before();
            resolve();
          };
        }),
    ),
  );
  await new Promise((resolve) => setImmediate(resolve));
  await expect(whole(body(6), sizeOf)).rejects.toMatchObject({ status: 503 });
  expect(await whole(body(5), sizeOf)).toBe(5);
  await expect(whole(body(5), () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  done();
  await Promise.all(held);
  for (const _ of [1, 2, 3]) expect(await whole(body(10), sizeOf)).toBe(10);
});
