/** Canonical bytes and their hash: the one place that decides what "the same" means. */
import { hash as digest } from "node:crypto";
import type { Hash, Json, Link, LinkKind } from "./ports.ts";

export const sha256 = (bytes: Uint8Array | string): Hash => digest("sha256", bytes, "hex");

const LINK = /^(blob|json|items|tree|mtimes|chunks):([0-9a-f]{64})$/;

export const link = (kind: LinkKind, id: Hash): Link => `${kind}:${id}`;

/** The hash that a link names. */
export const target = (of: Link): Hash => of.slice(of.indexOf(":") + 1);

export const parseLink = (text: string): { kind: LinkKind; id: Hash } | null => {
  const match = LINK.exec(text);
  return match ? { kind: match[1] as LinkKind, id: match[2]! } : null;
};

/** Every link that stands anywhere in a value, in order. */
export function* linksIn(value: unknown): Generator<Link> {
  if (typeof value === "string") {
    if (LINK.test(value)) yield value as Link;
  } else if (Array.isArray(value)) {
    for (const each of value) yield* linksIn(each);
  } else if (value && typeof value === "object") {
    for (const each of Object.values(value)) yield* linksIn(each);
  }
}

/** Deeper values are neither written nor read. */
const DEEPEST = 200;

/**
 * RFC 8785 canonical JSON. `undefined` members are left out. Throws on what has no canonical form: numbers that are not finite, lone
 * surrogates, anything that is not JSON; and on what is nested more than 200 deep.
 */
export const canonical = (value: unknown): string => write(value, DEEPEST);

function write(value: unknown, depth: number): string {
  switch (typeof value) {
    case "string":
      if (!value.isWellFormed()) throw new Error("A string with a lone surrogate has no canonical form.");
      return JSON.stringify(value);
    case "number":
      if (!Number.isFinite(value)) throw new Error(`The number ${value} has no canonical form.`);
      return JSON.stringify(value);
    case "boolean":
      return value ? "true" : "false";
    case "object": {
      if (value === null) return "null";
      if (depth === 0) throw new Error(`What is nested more than ${DEEPEST} deep cannot be written.`);
      let text = "";
      if (Array.isArray(value)) {
        for (let i = 0; i < value.length; i++) text += `${i ? "," : ""}${write(value[i], depth - 1)}`;
        return `[${text}]`;
      }
      if (!isPlain(value)) throw new Error(`A ${value.constructor?.name} has no canonical form.`);
      for (const key of Object.keys(value).sort()) {
        const member = (value as { [key: string]: unknown })[key];
        if (member === undefined) continue;
        text += `${text ? "," : ""}${write(key, 0)}:${write(member, depth - 1)}`;
      }
      return `{${text}}`;
    }
    default:
      throw new Error(`A value of type ${typeof value} has no canonical form.`);
  }
}

/** Whether it is an object by its own members alone, not a date, a map, a buffer or an instance of a class. */
function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Canonical bytes of a value. */
export const encodeJson = (value: unknown): Buffer => Buffer.from(canonical(value), "utf8");

/** Parses JSON bytes; throws a sentence on anything else. Limits depth, since the bytes may be hostile. */
export function decodeJson(bytes: Uint8Array): Json {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new Error("The bytes are not UTF-8.");
  }
  // Two brackets for each level.
  if (text.length > 2 * DEEPEST) checkDepth(text);
  try {
    return JSON.parse(text) as Json;
  } catch {
    throw new Error("The text is not JSON.");
  }
}

function checkDepth(text: string): void {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22) {
      for (at++; at < text.length && text.charCodeAt(at) !== 0x22; at++) if (text.charCodeAt(at) === 0x5c) at++;
    } else if (code === 0x7b || code === 0x5b) {
      if (++depth > DEEPEST) throw new Error(`The JSON is nested more than ${DEEPEST} deep.`);
    } else if (code === 0x7d || code === 0x5d) depth--;
  }
}

export const isHash = (text: unknown): text is Hash => typeof text === "string" && /^[0-9a-f]{64}$/.test(text);
