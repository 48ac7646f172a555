/**
 * Going on without a word. Claude Code adds one where its conversation was cut; the gateway takes it out again, so that what reaches the model
 * is what would have come next. Tried with 2.1.329, whose variables for this are its own affair: another version may not know them.
 */

/** Nothing that anybody else would say. */
export const WORD = "shepherd:7f3a9c52e1d84b06:go-on";

export const RESUME = {
  CLAUDE_CODE_RESUME_INTERRUPTED_TURN: "1",
  CLAUDE_CODE_RESUME_REASON: "checkpoint_restore",
  CLAUDE_CODE_RESUME_PROMPT: WORD,
};

interface Block {
  type?: string;
  text?: string;
  cache_control?: unknown;
}

/** A request as it would be without the word; the same bytes where it has none. */
export function outgoing(body: Buffer): Buffer {
  if (!body.includes(WORD)) return body;
  const request = JSON.parse(body.toString()) as { messages?: Array<{ role: string; content: string | Block[] }> };
  const kept: typeof request.messages = [];
  for (const message of request.messages ?? []) {
    const { content } = message;
    if (typeof content === "string") {
      if (content !== WORD) kept.push(message);
      continue;
    }
    const blocks = content.filter((block) => !isWord(block));
    const taken = content.find(isWord);
    const last = blocks.at(-1);
    // Where the word stood last, it had the mark up to which the provider keeps what it read.
    if (taken?.cache_control !== undefined && last) last.cache_control = taken.cache_control;
    if (blocks.length > 0) kept.push({ ...message, content: blocks });
  }
  return Buffer.from(JSON.stringify({ ...request, messages: kept }));
}

const isWord = ({ type, text }: Block): boolean => type === "text" && text !== undefined && text.trim() === WORD;
