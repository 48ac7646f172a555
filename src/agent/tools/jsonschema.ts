/**
 * Whether a value fits a JSON Schema, by the keywords that tools use: type, enum, const, properties, required, additionalProperties, items, anyOf,
 * oneOf, allOf, and bounds of numbers, texts and lists. Others are for the model alone.
 */
import { isDeepStrictEqual } from "node:util";
import { isMembers } from "../../gateway/protocol.ts";

const is: { [type: string]: (value: unknown) => boolean } = {
  object: isMembers,
  array: Array.isArray,
  string: (value) => typeof value === "string",
  number: (value) => typeof value === "number",
  integer: (value) => Number.isInteger(value),
  boolean: (value) => typeof value === "boolean",
  null: (value) => value === null,
};

/** What does not fit, with its place; null if all does. */
export function misfitOf(schema: unknown, value: unknown, at = "it"): string | null {
  if (schema === false) return `${at} must not be there`;
  if (!isMembers(schema)) return null;
  const types = [schema.type ?? []].flat().filter((type) => typeof type === "string" && type in is) as string[];
  if (types.length > 0 && !types.some((type) => is[type]!(value))) return `${at} must be ${types.join(" or ")}`;
  if (Array.isArray(schema.enum) && !schema.enum.some((each) => isDeepStrictEqual(each, value)))
    return `${at} must be one of ${schema.enum.map((each) => JSON.stringify(each)).join(", ")}`;
  if ("const" in schema && !isDeepStrictEqual(schema.const, value))
    return `${at} must be ${JSON.stringify(schema.const)}`;
  return bounds(schema, value, at) ?? within(schema, value, at) ?? several(schema, value, at);
}

type Schema = { [keyword: string]: unknown };

function bounds(schema: Schema, value: unknown, at: string): string | null {
  const [size, least, most, what] =
    typeof value === "number"
      ? [value, schema.minimum, schema.maximum, ""]
      : typeof value === "string"
        ? [[...value].length, schema.minLength, schema.maxLength, " characters"]
        : Array.isArray(value)
          ? [value.length, schema.minItems, schema.maxItems, " entries"]
          : [0, undefined, undefined, ""];
  if (typeof least === "number" && size < least) return `${at} must be at least ${least}${what}`;
  if (typeof most === "number" && size > most) return `${at} must be at most ${most}${what}`;
  return null;
}

function within(schema: Schema, value: unknown, at: string): string | null {
  if (Array.isArray(value)) {
    for (const [k, each] of value.entries()) {
      const wrong = misfitOf(schema.items, each, `${at}[${k}]`);
      if (wrong) return wrong;
    }
    return null;
  }
  if (!isMembers(value)) return null;
  const place = (name: string): string => (at === "it" ? name : `${at}.${name}`);
  for (const name of Array.isArray(schema.required) ? schema.required : [])
    if (!Object.hasOwn(value, String(name))) return `${place(String(name))} is lacking`;
  const known = isMembers(schema.properties) ? schema.properties : {};
  for (const [name, each] of Object.entries(value)) {
    const of = Object.hasOwn(known, name) ? known[name] : schema.additionalProperties;
    const wrong = of === false ? `${place(name)} is not known` : misfitOf(of, each, place(name));
    if (wrong) return wrong;
  }
  return null;
}

function several(schema: Schema, value: unknown, at: string): string | null {
  for (const each of Array.isArray(schema.allOf) ? schema.allOf : []) {
    const wrong = misfitOf(each, value, at);
    if (wrong) return wrong;
  }
  for (const [all, exactly] of [
    [schema.anyOf, false],
    [schema.oneOf, true],
  ] as const) {
    if (!Array.isArray(all)) continue;
    const wrong = all.map((each) => misfitOf(each, value, at));
    const fits = wrong.filter((each) => each === null).length;
    if (fits === 0) return wrong.find((each) => each !== null) ?? `${at} fits nothing`;
    if (exactly && fits > 1) return `${at} fits more than one of what it may be`;
  }
  return null;
}
