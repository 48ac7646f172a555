/**
 * Going on without a word. Codex goes on only when it is told something; the gateway takes that out again, in this request and in all that
 * follow, so that what reaches the model is what would have come next.
 */

/** Nothing that anybody else would say. */
export const WORD = "shepherd:5b0e8d73c1f2496a:go-on";

interface Input {
  type?: string;
  role?: string;
  content?: string | Array<{ text?: string }>;
}

/** A request as it would be without the word; the same bytes where it has none. */
export function outgoing(body: Buffer): Buffer {
  if (!body.includes(WORD)) return body;
  const request = JSON.parse(body.toString()) as { input?: Input[] };
  if (!Array.isArray(request.input)) return body;
  return Buffer.from(JSON.stringify({ ...request, input: request.input.filter((item) => !isWord(item)) }));
}

export const isWord = ({ role, content }: Input): boolean =>
  role === "user" && Array.isArray(content) && content.length === 1 && content[0]?.text?.trim() === WORD;
