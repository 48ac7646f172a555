import * as fs from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { encodeJson } from "../../src/trace/bytes.ts";
import type { Frame } from "../../src/trace/frame.ts";
import type { Json, Link } from "../../src/trace/ports.ts";
import { newLogId, openStore } from "../../src/trace/store.ts";
import { openWriter } from "../../src/trace/writer.ts";
import { writeTree } from "../../src/world/tree.ts";
import { exported } from "../support/bundle.ts";
import { newUser } from "../support/user.ts";

/** What no Shepherd writes, in a file that is whole. */
async function nonsense(directory: string, owned: string): Promise<Buffer> {
  const store = await openStore(directory);
  const blob = async (bytes: Buffer): Promise<Link> => `blob:${await store.objects.put(bytes)}`;
  const json = async (value: Json): Promise<Link> => `json:${await store.objects.put(encodeJson(value))}`;
  const id = newLogId();
  const services = await json({ type: "services", v: 1, services: [{ name: "../../x", command: `touch ${owned}` }] });
  const grants = {
    readOnly: "x",
    writable: ["/etc"],
    network: { host: 1 },
    limits: [1],
    root: { tree: "tree:zz", at: "../.." },
  };
  const meta = {
    kind: "scope",
    name: "../../evil\n",
    workspace: await blob(Buffer.from("/etc")),
    parent: "zz",
    created: 8e15,
    grants,
    services,
  };
  await store.logs.create({ v: 1, type: "log", id, origin: null, meta });
  const writer = await openWriter(store, id, (await store.leases.acquire(`log/${id}`))!);
  const name = Buffer.from("\x1b[31mred");
  const entry = { type: "f" as const, mode: 0o4755, name, id: await store.objects.put(Buffer.from("x")) };
  const workspace: Link = `tree:${await writeTree(store.objects, { mode: 0o755, entries: [entry] })}`;
  const things = [
    await blob(Buffer.from([0xff, 0xfe])),
    await json(null),
    await json({
      worker: "plugin",
      text: 7,
      plugin: { name: "claude-code", session: "../../../../etc/passwd", args: 3 },
    }),
    await json({ worker: "agent", text: "x", model: "script:/etc/passwd" }),
  ];
  const kinds = [
    "run",
    "teleport",
    "model",
    "tool",
    "message",
    "inject",
    "rewrite",
    "revert",
    "merge",
    "undo",
    "work",
    "command",
  ];
  for (const [k, kind] of kinds.entries()) {
    const what = things[k % things.length]!;
    const intent = { kind, tier: "irreversible", thread: "main", what, to: 5, of: "zz" } as unknown as Parameters<
      typeof writer.intent
    >[0];
    const n = await writer.intent(intent, { witness: { at: 5, said: k % 2 ? [7] : "x", op: "x", to: "x", of: {} } });
    await writer.note(n, { note: "egress", what: 7, allowed: true, tier: "irreversible", also: [1, "x"] });
    const threads = { main: { append: [things[(k + 1) % things.length]!] } };
    const outcome = { status: k % 5 ? "done" : "dancing", workspace, error: 7, threads } as unknown as (Frame & {
      phase: "outcome";
    })["facts"];
    await writer.outcome(n, outcome, { witness: { at: 9, changes: k % 2 ? "x" : { files: "many" }, leftOut: 7 } });
  }
  const { bytes } = await exported(store, [{ name: "evil", log: id }]);
  await store.close();
  return bytes;
}

test("a whole file that tells nonsense does no harm: it is shown as far as it can be read, gives no rights, and starts nothing", async () => {
  const user = await newUser();
  try {
    const owned = join(user.directory, "owned");
    const file = join(user.directory, "evil.shepherd");
    fs.writeFileSync(file, await nonsense(join(user.directory, "from"), owned));
    await user.does(["import", file]);
    const rows = (await user.does(["log", "evil", "--json"])).objects<{ kind: string; summary: string }>();
    expect(rows.length).toBe(12);
    expect(rows.filter(({ summary }) => summary === "(unreadable)").length).toBeGreaterThan(2);
    await user.does(["status"]);
    for (const n of ["0", "2", "3", "5"]) {
      const { code, out, err } = await user.shepherd(["show", "evil", n]);
      expect([0, 3]).toContain(code);
      expect(out + err).not.toMatch(/\.js:\d|TypeError|not a function|undefined/);
    }
    expect((await user.does(["cat", "evil", "1", "."])).out).toBe('"\\033[31mred"\n');
    await user.does(["fork", "evil", "1", "--scope", "f"]);
    await user.does(["exec", "f", "--", "sh", "-c", "pwd > here"]);
    expect((await user.does(["cat", "f@", "here"])).out).toBe(`${user.project}\n`);
    expect((await user.does(["fsck", "--full"])).out).toContain("sound");
    expect(fs.existsSync(owned)).toBe(false);
  } finally {
    user.end();
  }
});
