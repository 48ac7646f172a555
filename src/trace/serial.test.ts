import { expect, test } from "vitest";
import { serial } from "./serial.ts";

test("what comes runs one at a time, in order, and what fails is told to whoever gave it and holds back nothing", async () => {
  const inOrder = serial();
  const did: string[] = [];
  const work = (name: string, turns: number) => async (): Promise<string> => {
    did.push(`${name} begins`);
    for (let i = 0; i < turns; i++) await null;
    did.push(`${name} ends`);
    if (name === "b") throw new Error("b fails");
    return name;
  };
  const given = [work("a", 9), work("b", 5), work("c", 1)].map((each) => inOrder(each));
  const told = await Promise.allSettled(given);
  expect(told.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(did).toEqual(["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
});
