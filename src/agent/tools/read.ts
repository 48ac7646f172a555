import { boundary, MAX_TEXT } from "./clip.ts";
import { failed, isBinary, readWhole } from "./paths.ts";
import { schema, type Tool, type ToolResult } from "./tool.ts";

/** Lines of one call without a limit. */
const LINES = 2000;
/** Characters of one line. */
const WIDTH = 2000;
/** Room for what is said behind the lines. */
const ROOM = MAX_TEXT - 200;

export const read: Tool = {
  name: "read",
  description:
    "Reads a text file. Gives its lines with their numbers, a tab between. Relative paths start at the directory of the shell. Long files come in parts: go on with `offset`.",
  input: schema(
    {
      path: { type: "string", description: "The file." },
      offset: { type: "integer", minimum: 1, description: "Number of the first line, from 1." },
      limit: { type: "integer", minimum: 1, description: `How many lines at most; ${LINES} without it.` },
    },
    ["offset", "limit"],
  ),
  lock: "shared",
  tier: "reversible",
  run: async (input, context) => {
    const path = input.path as string;
    const bytes = await readWhole(context, path);
    if (!Buffer.isBuffer(bytes)) return bytes;
    if (isBinary(bytes))
      return failed(`${path} is binary (${bytes.length} bytes): look at it with bash (file, xxd, strings).`);
    return numbered(
      path,
      bytes,
      (input.offset as number | undefined) ?? 1,
      (input.limit as number | undefined) ?? LINES,
    );
  },
};

function numbered(path: string, bytes: Buffer, offset: number, limit: number): ToolResult {
  const lines = bytes.toString().split("\n");
  if (lines.at(-1) === "") lines.pop();
  if (lines.length === 0) return { status: "done", text: "(the file is empty)", output: bytes };
  if (offset > lines.length) return failed(`${path} has ${lines.length} lines, so nothing is at line ${offset}.`);
  let text = "";
  let at = offset;
  for (; at <= lines.length && at < offset + limit; at++) {
    const line = `${String(at).padStart(6)}\t${narrow(lines[at - 1]!)}\n`;
    if (text.length + line.length > ROOM) break;
    text += line;
  }
  if (at <= lines.length) text += `[${lines.length - at + 1} more lines: go on with offset ${at}.]\n`;
  return { status: "done", text, output: bytes };
}

const narrow = (line: string): string =>
  line.length <= WIDTH
    ? line
    : `${line.slice(0, boundary(line, WIDTH))} [${line.length - WIDTH} more characters in this line]`;
