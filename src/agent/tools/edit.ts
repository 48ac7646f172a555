import { failed, readWhole, writeWhole } from "./paths.ts";
import { schema, type Tool } from "./tool.ts";

export const edit: Tool = {
  name: "edit",
  description:
    "Replaces a part of a file. `old` must stand in the file exactly as given, white space included, and only once: give as many lines around it as make it unique, or set `all`.",
  input: schema(
    {
      path: { type: "string", description: "The file." },
      old: { type: "string", description: "The text that is replaced." },
      new: { type: "string", description: "The text that comes in its place." },
      all: { type: "boolean", description: "Whether to replace every occurrence." },
    },
    ["all"],
  ),
  lock: "exclusive",
  tier: "reversible",
  content: ["old", "new"],
  run: async (input, context) => {
    const path = input.path as string;
    const old = Buffer.from(input.old as string);
    const put = Buffer.from(input.new as string);
    if (old.length === 0) return failed("`old` is empty: give the text to replace, or use `write` for a new file.");
    if (old.equals(put)) return failed("`old` and `new` are the same, so nothing would change.");
    const bytes = await readWhole(context, path);
    if (!Buffer.isBuffer(bytes)) return bytes;
    const places = occurrences(bytes, old);
    if (places.length === 0)
      return failed(
        `\`old\` does not occur in ${path}: read the file again and give the text exactly as it stands there.`,
      );
    if (places.length > 1 && input.all !== true)
      return failed(
        `\`old\` occurs ${places.length} times in ${path}: give more of the text around it, or set \`all\`.`,
      );
    const trouble = await writeWhole(context, path, replaced(bytes, places, old.length, put));
    return (
      trouble ?? {
        status: "done",
        text: `Replaced ${places.length === 1 ? "one occurrence" : `${places.length} occurrences`} in ${path}.`,
      }
    );
  },
};

/** Where `part` stands in `bytes`, without overlaps. Bytes, so that a file that is no UTF-8 keeps the rest as it is. */
function occurrences(bytes: Buffer, part: Buffer): number[] {
  const places: number[] = [];
  for (let at = bytes.indexOf(part); at >= 0; at = bytes.indexOf(part, at + part.length)) places.push(at);
  return places;
}

function replaced(bytes: Buffer, places: readonly number[], length: number, put: Buffer): Buffer {
  const pieces: Buffer[] = [];
  let from = 0;
  for (const at of places) {
    pieces.push(bytes.subarray(from, at), put);
    from = at + length;
  }
  return Buffer.concat([...pieces, bytes.subarray(from)]);
}
