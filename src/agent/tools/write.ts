import { writeWhole } from "./paths.ts";
import { schema, type Tool } from "./tool.ts";

export const write: Tool = {
  name: "write",
  description:
    "Writes a file: makes it, with its directories, or replaces all of its content. Relative paths start at the directory of the shell. To change a part of a file use `edit`.",
  input: schema({
    path: { type: "string", description: "The file." },
    content: { type: "string", description: "All that the file is to hold." },
  }),
  lock: "exclusive",
  tier: "reversible",
  content: ["content"],
  run: async (input, context) => {
    const path = input.path as string;
    const content = Buffer.from(input.content as string);
    const trouble = await writeWhole(context, path, content);
    return trouble ?? { status: "done", text: `Wrote ${path} (${content.length} bytes).` };
  },
};
