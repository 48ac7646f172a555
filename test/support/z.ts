/** Validators by Standard Schema, as a user's library has them: enough for tests. */
import type { InputOf, OutputOf, Schema } from "../../src/agent/schema.ts";

type Checked<O> = { value: O } | { issues: Array<{ message: string; path?: PropertyKey[] }> };

const schema = <I, O = I>(validate: (value: unknown) => Checked<O>): Schema<I, O> => ({
  "~standard": { version: 1, vendor: "test", validate },
});

const of = <T>(type: string) =>
  schema<T>((value) =>
    typeof value === type ? { value: value as T } : { issues: [{ message: `must be a ${type}` }] },
  );

export const z = {
  string: () => of<string>("string"),
  number: () => of<number>("number"),
  boolean: () => of<boolean>("boolean"),
  /** Takes text, gives its length: input and output differ. */
  length: () =>
    schema<string, number>((value) =>
      typeof value === "string" ? { value: value.length } : { issues: [{ message: "must be a string" }] },
    ),
  object: <R extends { [name: string]: Schema }>(members: R) =>
    schema<{ [K in keyof R]: InputOf<R[K]> }, { [K in keyof R]: OutputOf<R[K]> }>((value) => {
      if (typeof value !== "object" || value === null) return { issues: [{ message: "must be an object" }] };
      const made: { [name: string]: unknown } = {};
      for (const [name, member] of Object.entries(members)) {
        const checked = member["~standard"].validate((value as { [name: string]: unknown })[name]) as Checked<unknown>;
        if ("issues" in checked) return { issues: checked.issues.map((each) => ({ ...each, path: [name] })) };
        made[name] = checked.value;
      }
      return { value: made as { [K in keyof R]: OutputOf<R[K]> } };
    }),
};
