import { expect, test } from "vitest";
import { within } from "./deadline.ts";

test("an answer in time is given, an error too; behind the time there is another", async () => {
  const never = new Promise<string>(() => {});
  expect(await within(60_000, Promise.resolve("yes"), "late")).toBe("yes");
  await expect(within(60_000, Promise.reject(new Error("no")), "late")).rejects.toThrow("no");
  expect(await within(1, never, "late")).toBe("late");
});
