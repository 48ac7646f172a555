// A LangGraph.js program as anybody writes one: a node that asks a model, a node of tools, an edge back. It knows nothing of Shepherd.
import { readFileSync, writeFileSync } from "node:fs";
import { tool } from "@langchain/core/tools";
import { END, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { ToolNode } from "@langchain/langgraph/prebuilt";
import { ChatOpenAI } from "@langchain/openai";
import * as z from "zod";

const read = tool(({ path }) => readFileSync(path, "utf8"), {
  name: "read_file",
  description: "Reads a file.",
  schema: z.object({ path: z.string() }),
});
const write = tool(({ path, content }) => writeFileSync(path, content) ?? "Written.", {
  name: "write_file",
  description: "Writes a file.",
  schema: z.object({ path: z.string(), content: z.string() }),
});
const model = new ChatOpenAI({ model: process.env.MODEL ?? "gpt-4.1-mini" }).bindTools([read, write]);

const graph = new StateGraph(MessagesAnnotation)
  .addNode("agent", async ({ messages }) => ({ messages: [await model.invoke(messages)] }))
  .addNode("tools", new ToolNode([read, write]))
  .addEdge(START, "agent")
  .addConditionalEdges("agent", ({ messages }) => (messages.at(-1).tool_calls?.length ? "tools" : END))
  .addEdge("tools", "agent")
  .compile();

const { messages } = await graph.invoke({ messages: [{ role: "user", content: "Do what SPEC.md says." }] });
console.log(messages.at(-1).content);
