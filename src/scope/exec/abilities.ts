import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { whyDenied } from "./denied.ts";
import { findHelper, helperOf, whyNoHelper } from "./helper.ts";
import { isRoot, type Method, startHolder } from "./holder.ts";
import { findTools, needProgram } from "./tools.ts";
import { planView } from "./view.ts";

/** What this host allows for sandboxes. */
export interface Abilities {
  /** Whether commands see each scope's files at the user's own paths. */
  samePath: boolean;
  how: "root" | "userns" | "none";
  /** Whether our own helper makes the namespaces, and not programs of the host. */
  helper: boolean;
  /** Without `helper`: why not, as a sentence. */
  noHelper?: string;
  /** With `helper`: the version of the kernel's Landlock; 0 where there is none that fits. */
  landlock?: number;
  /** Without `samePath`: one sentence with the reason and what would help. */
  why?: string;
}

interface Found {
  abilities: Abilities;
  method: Method | null;
}

/** By the helper that there is. */
const found = new Map<string | null, Promise<Found>>();

/** What this host allows, found out once per process by making a small sandbox. SHEPHERD_NO_NAMESPACES=1 answers for it. */
export const detect = async (): Promise<Abilities> => (await detectMethod()).abilities;

/** As `detect`, with how to go about it. */
export async function detectMethod(): Promise<Found> {
  if (process.env.SHEPHERD_NO_NAMESPACES === "1")
    return none(
      "Namespaces are switched off by SHEPHERD_NO_NAMESPACES=1; run `unset SHEPHERD_NO_NAMESPACES` to use them.",
    );
  const helper = findHelper();
  const known = found.get(helper) ?? look(helper);
  found.set(helper, known);
  return known;
}

const none = (why: string): Found => ({
  abilities: { samePath: false, how: "none", helper: false, why },
  method: null,
});

async function look(helper: string | null): Promise<Found> {
  if (process.platform !== "linux")
    return none(
      `This system (${process.platform}) has no mount namespaces; run shepherd in a Linux machine, as with \`docker run -it node\`.`,
    );
  const tools = findTools();
  const hows: Method["how"][] = isRoot() ? ["root", "userns"] : ["userns"];
  const methods: Method[] = helper === null ? [] : hows.map((how) => ({ how, helper }));
  if (!Array.isArray(tools))
    for (const single of [false, true]) methods.push(...hows.map((how) => ({ how, single, tools })));
  else if (helper === null)
    return none(`Programs are missing (${tools.join(", ")}); \`sudo apt install util-linux bash mount\` brings them.`);
  const said: string[] = [];
  let noHelper = whyNoHelper();
  for (const method of methods)
    try {
      await trial(method);
      const { how } = method;
      if ("helper" in method) {
        const { landlock } = await helperOf(method.helper, how);
        return { abilities: { samePath: true, how, helper: true, landlock }, method };
      }
      return { abilities: { samePath: true, how, helper: false, noHelper }, method };
    } catch (error) {
      said.push((error as Error).message.split("\n")[0]!);
      if ("helper" in method) noHelper = `Shepherd's helper does not work here: ${said.at(-1)}.`;
    }
  return none(whyDenied(said.at(-1)!));
}

/** Makes a sandbox with one directory bound over another, and looks into it. */
async function trial(method: Method): Promise<void> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "shepherd-trial-"));
  try {
    const [from, to, tmp] = ["from", "to", "tmp"].map((name) => path.join(folder, name)) as [string, string, string];
    for (const made of [from, to, tmp]) fs.mkdirSync(made);
    fs.writeFileSync(path.join(from, "witness"), "");
    const { pieces } = planView({ binds: [{ from, to, mode: "rw" }], tmp, env: {}, network: "host" }, isRoot());
    const holder = await startHolder(pieces, method);
    try {
      await enterOnce(holder.enter(), path.join(to, "witness"));
    } finally {
      await holder.end();
      holder.release();
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

const enterOnce = ([program, ...words]: string[], file: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn(program!, [...words, needProgram("bash", "bash"), "-c", '[ -w "$1" ]', "trial", file], {
      stdio: ["ignore", "ignore", "pipe"],
      env: {},
      cwd: "/",
    });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve() : reject(new Error(said.trim() || "a namespace cannot be entered")),
    );
  });
