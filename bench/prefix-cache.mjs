/**
 * A provider's prefix cache, as Anthropic's documentation of prompt caching states its rules: a prefix goes through tools, system, messages, in that
 * order; what ends at a block with `cache_control` is kept, if it has 1,024 tokens, for 5 minutes from its last use; a request is served the
 * longest one that ends at one of its own marks, or up to 20 blocks before. Tokens are counted as 4 bytes of JSON each, for all alike.
 */
import { createHash } from "node:crypto";

const LIFE = 5 * 60_000;
const LEAST = 1024;
const BACK = 20;

/** The blocks of a request in order; a text alone is one block, and marks are no content. */
function blocksOf({ tools = [], system = [], messages }) {
  const blocks = [];
  const add = (where, { cache_control, ...content }) =>
    blocks.push({ text: JSON.stringify([where, content]), marked: cache_control !== undefined });
  const listed = (content) => (typeof content === "string" ? [{ type: "text", text: content }] : content);
  for (const tool of tools) add("tool", tool);
  for (const block of listed(system)) add("system", block);
  for (const { role, content } of messages) for (const block of listed(content)) add(role, block);
  return blocks;
}

/** Each prefix of a request: its name, its tokens, whether it ends at a mark. */
export function prefixesOf(request) {
  let name = "";
  let bytes = 0;
  return blocksOf(request).map(({ text, marked }) => {
    name = createHash("sha256").update(name).update(text).digest("hex");
    bytes += Buffer.byteLength(text);
    return { name, tokens: Math.floor(bytes / 4), marked };
  });
}

export function makeCache(now = Date.now) {
  const kept = new Map();
  return {
    /** Tokens of a request that are served; what it marks is kept from then on. */
    serve(request) {
      const prefixes = prefixesOf(request);
      let served = 0;
      for (const [at, { marked }] of prefixes.entries()) {
        if (!marked) continue;
        for (let i = at; i >= Math.max(0, at - BACK); i--) {
          const { name, tokens } = prefixes[i];
          if (!(kept.get(name) > now() - LIFE)) continue;
          kept.set(name, now());
          served = Math.max(served, tokens);
          break;
        }
      }
      for (const { name, tokens, marked } of prefixes) if (marked && tokens >= LEAST) kept.set(name, now());
      return served;
    },
    clear: () => kept.clear(),
  };
}

/** Tokens of the prefix that a provider may keep of a request: up to its last mark. */
export const cacheable = (request) => prefixesOf(request).findLast(({ marked }) => marked)?.tokens ?? 0;
