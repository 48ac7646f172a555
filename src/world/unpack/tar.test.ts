import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { tarOf } from "../../../test/support/image.ts";
import { params } from "../../../test/support/runs.ts";
import { inTemporary } from "../../../test/support/trees.ts";
import { readTar, type TarEntry, TarError } from "./tar.ts";

/** All entries with what they hold; the archive comes in pieces of `piece` bytes. */
async function read(bytes: Buffer, piece = 1000): Promise<(TarEntry & { content: string })[]> {
  const found: (TarEntry & { content: string })[] = [];
  async function* pieces(): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
  }
  await readTar(pieces(), (entry) => {
    const told = { ...entry, content: "" };
    found.push(told);
    return {
      write: (more) => {
        told.content += more.toString("latin1");
      },
      end: () => {},
    };
  });
  return found;
}

const pax = (...records: string[]) =>
  records
    .map((record) => {
      let length = record.length + 2;
      while (Buffer.byteLength(`${length} ${record}\n`) !== length) length++;
      return `${length} ${record}\n`;
    })
    .join("");

describe("an archive that tar(1) has made", () => {
  it.each(["gnu", "pax", "ustar", "v7"])("in the format %s is read to the byte", async (format) => {
    await inTemporary(async (dir) => {
      const base = Buffer.from(`${dir}/made/`);
      fs.mkdirSync(base);
      const at = (name: string) => Buffer.concat([base, Buffer.from(name, "latin1")]);
      const [odd, deep] = ["caf\xe9 \xff", `${"d".repeat(60)}/${"f".repeat(90)}`];
      const long = format === "v7" || format === "ustar" ? "short" : "n".repeat(250);
      fs.mkdirSync(at("d".repeat(60)));
      fs.mkdirSync(at("dir"), 0o750);
      for (const name of [odd, long, ...(format === "v7" ? [] : [deep])])
        fs.writeFileSync(at(name), name.repeat(7), "latin1");
      fs.linkSync(at(odd), at("hard"));
      fs.symlinkSync("../../else where", at("link"));
      fs.chmodSync(at(long), 0o4751);
      fs.utimesSync(at(long), 1, 1_234_567_890.125);
      execFileSync("tar", [`--format=${format}`, "--numeric-owner", "-cf", `${dir}/a.tar`, "-C", `${dir}/made`, "."]);
      for (const piece of [7, 513, 1 << 20]) {
        const entries = await read(fs.readFileSync(join(dir, "a.tar")), piece);
        const by = new Map(entries.map((entry) => [entry.path.replace(/^\.\/|\/$/g, ""), entry]));
        expect(by.get("dir")).toMatchObject({ type: "dir", mode: 0o750, content: "" });
        expect(by.get("link")).toMatchObject({ type: "link", target: "../../else where" });
        expect([by.get("hard")!.type, by.get(odd)!.type].sort()).toEqual(["file", "hard"]);
        expect(by.get(long)).toMatchObject({ type: "file", mode: 0o4751, content: long.repeat(7) });
        expect(by.get(long)!.ns).toBe(1_234_567_890_000_000_000n + (format === "pax" ? 125_000_000n : 0n));
        if (format !== "v7") expect(by.get(deep)!.content).toBe(deep.repeat(7));
        const stat = fs.statSync(at("dir"));
        expect(by.get("dir")).toMatchObject({ uid: stat.uid, gid: stat.gid });
      }
    });
  });

  it("with holes is refused, in each form that tar(1) has for them", async () => {
    await inTemporary(async (dir) => {
      fs.writeFileSync(`${dir}/holes`, "");
      fs.truncateSync(`${dir}/holes`, 8 << 20);
      for (const format of [
        ["--format=gnu"],
        ["--format=pax", "--sparse-version=0.0"],
        ["--format=pax", "--sparse-version=1.0"],
      ]) {
        execFileSync("tar", [...format, "--sparse", "-cf", `${dir}/a.tar`, "-C", dir, "holes"]);
        await expect(read(fs.readFileSync(`${dir}/a.tar`))).rejects.toThrow(
          "it has a sparse file: make it without --sparse.",
        );
      }
    });
  });
});

describe("attributes of an entry", () => {
  it("are those of the next file alone, and go before those of all", async () => {
    const entries = await read(
      tarOf([
        { path: "g", flag: "g", content: pax("uid=7", "mtime=5") },
        { path: "x", flag: "x", content: pax("path=caf\u00e9", "size=3", "mtime=-1.5", "gid=3000000000") },
        { path: "ignored", content: "abc" },
        { path: "next" },
      ]),
    );
    expect(entries).toMatchObject([
      { path: "caf\u00c3\u00a9", content: "abc", ns: -1_500_000_000n, uid: 7, gid: 3_000_000_000 },
      { path: "next", ns: 5_000_000_000n, uid: 7, gid: 0 },
    ]);
  });

  it.each([
    [[{ path: "x", flag: "x", content: "9 path=a" }], "the attributes of an entry are malformed"],
    [[{ path: "x", flag: "x", content: "99999999 path=a\n" }], "the attributes of an entry are malformed"],
    [[{ path: "x", flag: "x", content: pax("size=-1") }], "a number in it is none"],
    [[{ path: "x", flag: "x", content: pax("path=a\0b") }, { path: "y" }], "an entry has no name that a file can have"],
    [[{ path: "x", flag: "x", size: 8 ** 11 - 1 }], "an entry has more than 1 MiB of attributes"],
    [[{ path: "x", flag: "x", content: pax("uid=4294967295") }, { path: "y" }], "a number in it is too large"],
    [[{ path: "x", flag: "2" }], "a link names nothing"],
    [[{ path: "x", flag: "Z" }], 'it has an entry of a kind that is not known ("Z")'],
    [[{ path: "x", size: 8 ** 11 - 1 }], "it is cut off"],
    [[], "there is nothing in it"],
  ])("that nobody can mean are refused: %#", async (entries, why) => {
    await expect(read(tarOf(entries))).rejects.toThrow(`This is no tar archive that can be read: ${why}.`);
  });
});

it("whatever is done to an archive, it is read or refused with a sentence", async () => {
  const whole = tarOf([
    { path: "x", flag: "x", content: pax("path=long", "uid=5") },
    { path: "a", content: "1234" },
    { path: "l", flag: "2", target: "a" },
  ]);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ at: fc.nat(whole.length - 1), byte: fc.nat(255) }), { maxLength: 4 }),
      fc.nat(whole.length),
      async (wounds, length) => {
        const bytes = Buffer.from(whole.subarray(0, length));
        for (const { at, byte } of wounds) if (at < length) bytes[at] = byte;
        await read(bytes).catch((error: unknown) => expect(error).toBeInstanceOf(TarError));
      },
    ),
    params(2000, 300),
  );
});
