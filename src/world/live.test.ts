import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { kinds } from "../../test/support/mounts.ts";
import { move } from "../../test/support/move.ts";
import { memoryObjects } from "../../test/support/objects.ts";
import { params } from "../../test/support/runs.ts";
import { inTemporary } from "../../test/support/trees.ts";
import { capture } from "./capture.ts";
import { portableDriver } from "./portable.ts";
import { emptyCache } from "./statcache.ts";

type Op =
  | { do: "write" | "replace" | "remove" | "mkdir" | "chmod" | "link"; at: string; text: string }
  | { do: "rename"; at: string; to: string };

/** Does it, or not where that cannot be done as things stand: alike in equal directories. */
function perform(root: string, op: Op): void {
  const path = join(root, op.at);
  try {
    if (op.do === "rename") {
      const to = join(root, op.to);
      const isTaken = fs.lstatSync(to, { throwIfNoEntry: false })?.isDirectory();
      if (!isTaken && !op.to.startsWith(`${op.at}/`)) move(path, to);
    } else if (op.do === "write") fs.writeFileSync(path, op.text);
    else if (op.do === "remove") fs.rmSync(path, { recursive: true });
    else if (op.do === "mkdir") fs.mkdirSync(path);
    else if (op.do === "chmod") fs.chmodSync(path, op.text.length % 2 ? 0o755 : 0o640);
    else if (op.do === "link") fs.symlinkSync(op.text || "x", path);
    else {
      fs.writeFileSync(`${path}.new`, op.text);
      fs.renameSync(`${path}.new`, path);
    }
  } catch {
    if (op.do === "replace" && fs.existsSync(`${path}.new`)) fs.rmSync(`${path}.new`);
  }
}

/** What somebody does at places whose names begin with a letter of theirs, in directories of theirs and in such that both use. */
const opsAt = (who: string): fc.Arbitrary<Op> => {
  const name = fc.constantFrom("1", "2", "3").map((n) => who + n);
  const dir = fc.oneof(
    fc.constantFrom("", "s/", "s/t/"),
    name.map((n) => `${n}/`),
    name.map((n) => `s/${n}/`),
  );
  const at = fc.tuple(dir, name).map(([d, n]) => d + n);
  return fc.oneof(
    fc.record({
      do: fc.constantFrom("write", "replace", "remove", "mkdir", "chmod", "link"),
      at,
      text: fc.string({ maxLength: 6 }),
    }) as fc.Arbitrary<Op>,
    fc.record({ do: fc.constant("rename" as const), at, to: at }),
  );
};

type Move = { who: "user" | "scope"; op: Op } | { who: "capture" };

describe.each(kinds)("a world on the user's own directory, in $whose mounts,", ({ mounts }) => {
  const rigIn = (dir: string) => {
    const [directory, bases, user] = ["worlds", "bases", "user"].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ];
    for (const each of [directory, bases, user]) fs.mkdirSync(each);
    const objects = memoryObjects();
    const layers = { bases, roots: ["files"], mounts: async () => mounts };
    const driver = portableDriver({ directory, objects, generation: "one", layers, lag: 30 });
    const spec = { id: "one", family: "one", roots: { files: {} } };
    const onLive = () => driver.openOnLive({ ...spec, state: {} }, { root: "files", path: user });
    const read = async () => {
      const cache = emptyCache();
      return { ...(await capture(user, objects, { cache, generation: "one" })), cache };
    };
    return { objects, driver, spec, user, directory, onLive, read };
  };

  it("holds what was there when it was read, with what was done in it, whatever its user does meanwhile", async () => {
    const moves = fc.array(
      fc.oneof(
        { weight: 5, arbitrary: fc.record({ who: fc.constant("scope" as const), op: opsAt("b") }) },
        { weight: 5, arbitrary: fc.record({ who: fc.constant("user" as const), op: opsAt("a") }) },
        { weight: 1, arbitrary: fc.record({ who: fc.constant("capture" as const) }) },
      ) as fc.Arbitrary<Move>,
      { minLength: 1, maxLength: 30 },
    );
    const start = fc.array(fc.oneof(opsAt("a"), opsAt("b")), { maxLength: 25 });
    await fc.assert(
      fc.asyncProperty(start, moves, moves, async (start, before, after) => {
        await inTemporary(async (dir) => {
          const { driver, spec, user, onLive, read, objects } = rigIn(dir);
          fs.mkdirSync(join(user, "s/t"), { recursive: true });
          for (const op of start) perform(user, op);
          const world = (await onLive())!;
          const { files } = world.paths;
          // What its user does until it is read is in it; so the model does all of that first.
          const [model, own] = [join(dir, "model"), join(dir, "own")];
          for (const each of [model, own]) execFileSync("cp", ["-a", user, each]);
          const play = async (moves: readonly Move[], sealed: boolean): Promise<void> => {
            for (const move of moves)
              if (move.who === "capture") {
                if (sealed) expect((await world.capture()).files.tree).toBe((await capture(model, objects)).tree);
              } else if (move.who === "scope") {
                perform(files, move.op);
                perform(model, move.op);
              } else {
                perform(user, move.op);
                perform(own, move.op);
                if (!sealed) perform(model, move.op);
              }
          };
          await play(before, false);
          const held = await read();
          world.ground(held.cache);
          await play(after, true);
          const last = (await world.capture()).files;
          expect(last.tree).toBe((await capture(model, objects)).tree);
          expect((await read()).tree).toBe((await capture(own, objects)).tree);
          // To go back, and forth again, makes it exactly that, from what shows through too.
          await world.restore({ files: { ...held, tree: held.tree } });
          expect((await world.capture()).files.tree).toBe(held.tree);
          await world.restore({ files: last });
          expect((await world.capture()).files.tree).toBe(last.tree);
          await world.close();
          const again = await driver.open({ ...spec, state: { files: last } });
          expect((await capture(again.paths.files, objects)).tree).toBe(last.tree);
          await again.close();
          expect((await read()).tree).toBe((await capture(own, objects)).tree);
        });
      }),
      params(500, 25),
    );
  });

  it("keeps from its user's files what is done in it at the same places", async () => {
    const moves = fc.array(
      fc.record({ who: fc.constantFrom("scope", "user"), op: fc.oneof(opsAt("a"), opsAt("b")) }) as fc.Arbitrary<
        Exclude<Move, { who: "capture" }>
      >,
      { maxLength: 40 },
    );
    await fc.assert(
      fc.asyncProperty(moves, moves, async (before, after) => {
        await inTemporary(async (dir) => {
          const { driver, spec, user, onLive, read, objects } = rigIn(dir);
          fs.mkdirSync(join(user, "s/t"), { recursive: true });
          const own = join(dir, "own");
          execFileSync("cp", ["-a", user, own]);
          const world = (await onLive())!;
          const play = (moves: typeof before): void => {
            for (const { who, op } of moves)
              for (const root of who === "scope" ? [world.paths.files] : [user, own]) perform(root, op);
          };
          play(before);
          world.ground((await read()).cache);
          play(after);
          const { files } = await world.capture();
          expect((await world.capture()).files.tree).toBe(files.tree);
          await world.close();
          const again = await driver.open({ ...spec, state: { files } });
          expect((await capture(again.paths.files, objects)).tree).toBe(files.tree);
          await again.close();
          expect((await read()).tree).toBe((await capture(own, objects)).tree);
        });
      }),
      params(500, 12),
    );
  });

  it("takes over what is brought to it, also where both have taken something away", async () => {
    await inTemporary(async (dir) => {
      const { user, onLive, read } = rigIn(dir);
      for (const name of ["gone", "changed", "kept"]) fs.writeFileSync(join(user, name), name);
      const world = (await onLive())!;
      const held = await read();
      world.ground(held.cache);
      fs.rmSync(join(user, "gone"));
      fs.writeFileSync(join(user, "changed"), "otherwise");
      fs.writeFileSync(join(user, "come"), "come");
      const now = await read();
      expect((await world.capture()).files.tree).toBe(held.tree);
      await world.bring("files", held.tree, now.tree);
      expect((await world.capture()).files.tree).toBe(now.tree);
      fs.writeFileSync(join(user, "changed"), "once more");
      expect((await world.capture()).files.tree).toBe(now.tree);
      expect(fs.readFileSync(join(world.paths.files, "changed"), "utf8")).toBe("otherwise");
      await world.close();
    });
  });

  it("shows no socket of the host, keeps nothing when it is closed, and is not had where it could not be told apart", async () => {
    await inTemporary(async (dir) => {
      const { driver, spec, user, directory, onLive, read, objects } = rigIn(dir);
      fs.mkdirSync(join(user, "run"));
      fs.writeFileSync(join(user, "run/file"), "1");
      fs.utimesSync(join(user, "run"), 1e9, 1e9);
      const server = createServer().listen(join(user, "run/socket"));
      await new Promise((resolve) => server.on("listening", resolve));
      execFileSync("mkfifo", [join(user, "pipe")]);
      for (const each of [join(user, "run"), user]) fs.utimesSync(each, 1e9, 1e9);
      const world = (await onLive())!;
      expect(fs.readdirSync(world.paths.files, { recursive: true }).sort()).toEqual(["run", "run/file"]);
      const held = await read();
      world.ground(held.cache);
      const { files } = await world.capture();
      expect(files).toMatchObject({ tree: held.tree, mtimes: held.mtimes });
      fs.writeFileSync(join(world.paths.files, "run/file"), "2");
      server.close();
      // As if its owner had been killed: what is left is not believed.
      const left = await driver.open({ ...spec, state: { files: held } });
      expect(fs.readFileSync(join(left.paths.files, "run/file"), "utf8")).toBe("1");
      await left.close();
      expect(fs.existsSync(join(directory, "one/files.upper"))).toBe(false);
      fs.chownSync(user, 1234, 1234);
      expect(await onLive()).toBeNull();
      fs.chownSync(user, 0, 0);
      expect(await driver.openOnLive({ ...spec, state: {} }, { root: "files", path: dir })).toBeNull();
      expect((await capture(user, objects)).tree).toBe(held.tree);
    });
  });
});
