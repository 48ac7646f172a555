/** What a request to the gateway is for. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Provider } from "./protocol.ts";
import type { Upstream } from "./upstream.ts";

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/** `/SECRET/SERVICE/PATH`; null for whoever does not know the secret. */
export function route(url: string, secret: string): { service: Provider | "hook"; path: string } | null {
  const match = /^\/([^/?]+)\/(anthropic|openai|hook)(\/[^#]*|\?[^#]*)?$/.exec(url);
  if (!match || !timingSafeEqual(digest(match[1]!), digest(secret))) return null;
  return { service: match[2] as Provider | "hook", path: match[3] ?? "/" };
}

/** For some clients the version is a part of Anthropic's address, and for others of each path. No model call may pass unrecorded for that. */
export const versioned = (path: string): string => path.replace(/^\/(?=(messages|models)(\/|\?|$))/i, "/v1/");

/** A path with a version as it stands behind an upstream, whose address may end with that version. */
export const behind = ({ base }: Pick<Upstream, "base">, path: string): string =>
  /\/v1\/*$/.test(base.pathname) ? path.replace(/^\/v1(?=\/)/i, "") : path;

/** What a path may be written with in place of itself: servers differ in what they make of it. */
const MEANS_ANOTHER = /[\w.~/\\;\x00-\x1f-]/;

/**
 * Whether a path can be read in one way only. Another way could lead out of the upstream's base, or to a model call that is not recorded, and
 * either with the user's key.
 */
export function isPlain(path: string): boolean {
  const bare = path.split("?")[0]!;
  if (/\/\/|[\\;]|\/\.\.?(\/|$)/.test(bare)) return false;
  const escapes = bare.match(/%[\da-f]{2}/gi) ?? [];
  return !escapes.some((each) => MEANS_ANOTHER.test(String.fromCharCode(Number.parseInt(each.slice(1), 16))));
}
