import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { digest, makeLayout, makeSaved, tarOf } from "../../../test/support/image.ts";
import { inTemporary } from "../../../test/support/trees.ts";
import { filesOf } from "../../../test/support/user.ts";
import { readArchive } from "./archive.ts";
import { startUnpacking } from "./layer.ts";
import { kindOf, unpackImage } from "./oci.ts";
import { TarError } from "./tar.ts";

const layers = [
  tarOf([
    { path: "etc/a", content: "1" },
    { path: "etc/b", content: "1" },
  ]),
  tarOf([{ path: "etc/.wh.a" }, { path: "etc/b", content: "2" }]),
];
const config = { Env: ["PATH=/opt/bin:/bin", "EMPTY="], WorkingDir: "/app", Entrypoint: ["/x"], User: "7" };
const FILES = { "etc/b": "2" };

const inRoom = (
  body: (at: string, unpack: (tag?: string) => ReturnType<typeof unpackImage>, root: string) => Promise<void>,
) =>
  inTemporary(async (dir) => {
    const [at, root] = [join(dir, "image"), join(dir, "root")];
    fs.mkdirSync(root);
    const unpack = (tag?: string) => {
      const kind = kindOf(at);
      if (kind === "rootfs") throw new Error("That is no image.");
      return unpackImage(at, kind, root, tag, { bytes: 1 << 24, disk: dir });
    };
    await body(at, unpack, root);
  });

describe("an image", () => {
  it.each<[string, (at: string) => void]>([
    ["in an OCI layout", (at) => makeLayout(at, { latest: { layers, config } })],
    ["as docker save wrote it", (at) => makeSaved(at, "x:latest", { layers, config })],
  ])("%s is its layers, one over the other, and what it says of its commands", (_, make) =>
    inRoom(async (at, unpack, root) => {
      make(at);
      const done = await unpack();
      expect(done.config).toMatchObject({ env: config.Env, workdir: "/app" });
      expect(done.config.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
      expect(filesOf(root)).toEqual(FILES);
    }),
  );

  it("is the one of the tag, where there are several, and the one for this machine", () =>
    inRoom(async (at, unpack, root) => {
      const other = { layers: [tarOf([{ path: "other" }])] };
      const machine = process.arch === "arm64" ? "arm64" : "amd64";
      makeLayout(at, { one: { layers }, two: other });
      await expect(unpack()).rejects.toThrow("it has several images: say which with --tag (one, two).");
      await expect(unpack("three")).rejects.toThrow('it has no "three" (one, two).');
      await unpack("one");
      expect(filesOf(root)).toEqual(FILES);
      fs.rmSync(root, { recursive: true });
      fs.mkdirSync(root);
      makeLayout(at, { one: { layers, architecture: machine }, two: { ...other, architecture: "s390x" } });
      await unpack();
      expect(filesOf(root)).toEqual(FILES);
      makeLayout(at, { one: { layers, architecture: "riscv64" }, two: { ...other, architecture: "s390x" } });
      await expect(unpack()).rejects.toThrow(`it has none for linux/${machine}.`);
    }));
});

describe("an image that is not what its digests say", () => {
  const blobs = (at: string) => fs.readdirSync(join(at, "blobs/sha256")).map((name) => join(at, "blobs/sha256", name));

  it("is refused, whichever of its objects is changed, lost, or a link that leads out", async () => {
    for (const harm of [
      (file: string) => fs.appendFileSync(file, " "),
      (file: string) => fs.rmSync(file),
      (file: string) => {
        fs.renameSync(file, `${file}.away`);
        fs.symlinkSync(`${file}.away`, file);
      },
    ])
      for (let which = 0; which < 4; which++)
        await inRoom(async (at, unpack) => {
          makeLayout(at, { latest: { layers, config } });
          harm(blobs(at)[which]!);
          await expect(unpack()).rejects.toThrow(TarError);
        });
  });

  it("is refused where its layers are others than those of its configuration", () =>
    inRoom(async (at, unpack) => {
      makeSaved(at, "x:latest", { layers });
      fs.writeFileSync(join(at, "layer1/layer.tar"), tarOf([{ path: "evil" }]));
      await expect(unpack()).rejects.toThrow("the layer layer1/layer.tar is damaged: its digest is another one.");
    }));

  it.each([
    ["../../outside", "it lacks ../../outside"],
    ["/etc/passwd", "it lacks /etc/passwd"],
    ["link", "it lacks link"],
    ["layer0", "it lacks layer0"],
  ])("is refused where a layer is to be %s", (file, why) =>
    inRoom(async (at, unpack) => {
      makeSaved(at, "x:latest", { layers });
      fs.symlinkSync("/etc/hostname", join(at, "link"));
      const manifest = JSON.parse(fs.readFileSync(join(at, "manifest.json"), "utf8")) as Array<{ Layers: string[] }>;
      manifest[0]!.Layers[0] = file;
      fs.writeFileSync(join(at, "manifest.json"), JSON.stringify(manifest));
      await expect(unpack()).rejects.toThrow(`${why}.`);
    }),
  );

  it.each([
    ["no JSON", "{"],
    ["no list", '{"manifests":7}'],
    ["nothing", '{"manifests":[]}'],
    ["no digest", '{"manifests":[{"digest":"sha256:../../../etc/passwd"}]}'],
    ["null", '{"manifests":[null]}'],
    ["another algorithm", `{"manifests":[{"digest":"md5:${"0".repeat(32)}"}]}`],
  ])("is refused where its index is %s", (_, index) =>
    inRoom(async (at, unpack) => {
      makeLayout(at, { latest: { layers } });
      fs.writeFileSync(join(at, "index.json"), index);
      await expect(unpack()).rejects.toThrow(TarError);
    }),
  );
});

describe("an archive", () => {
  const inFile = (bytes: Buffer, most: number, body: (unpack: () => Promise<void>, root: string) => Promise<void>) =>
    inTemporary(async (dir) => {
      fs.writeFileSync(join(dir, "a"), bytes);
      fs.mkdirSync(join(dir, "root"));
      const fd = fs.openSync(join(dir, "a"), "r");
      try {
        await body(
          async () => {
            const unpacking = startUnpacking(join(dir, "root"));
            const archive = readArchive(fd, "a", { bytes: most, disk: dir });
            await unpacking.add(archive.pieces);
            expect(archive.digests().packed).toBe(digest(bytes));
          },
          join(dir, "root"),
        );
      } finally {
        fs.closeSync(fd);
      }
    });

  it("is unpacked by the way, and its digests are those of the file and of what came out", () =>
    inFile(gzipSync(layers[0]!), 1 << 20, async (unpack, root) => {
      await unpack();
      expect(filesOf(root)).toEqual({ "etc/a": "1", "etc/b": "1" });
    }));

  it("of which more comes than was allowed is refused, however small it is", () =>
    inFile(gzipSync(tarOf([{ path: "zeroes", content: Buffer.alloc(64 << 20) }])), 1 << 20, async (unpack, root) => {
      await expect(unpack()).rejects.toThrow("give it a larger --max-size if that is meant.");
      const { blocks = 0 } = fs.statSync(join(root, "zeroes"), { throwIfNoEntry: false }) ?? {};
      expect(blocks * 512).toBeLessThan(2 << 20);
    }));

  it("that only seems to end, and goes on with zeroes, is refused as well", () =>
    inFile(gzipSync(Buffer.concat([layers[0]!, Buffer.alloc(8 << 20)])), 1 << 20, async (unpack) => {
      await expect(unpack()).rejects.toThrow("give it a larger --max-size if that is meant.");
    }));

  it("that is packed twice, damaged or cut off is refused with a sentence", async () => {
    const packed = gzipSync(layers[0]!);
    for (const bytes of [
      gzipSync(packed),
      packed.subarray(0, -9),
      Buffer.concat([packed.subarray(0, 40), Buffer.alloc(99)]),
      Buffer.alloc(0),
    ])
      await inFile(bytes, 1 << 20, (unpack) => expect(unpack()).rejects.toThrow(TarError));
  });

  it.each([
    ["zstd", Buffer.from("28b52ffd00", "hex")],
    ["xz", Buffer.from("fd377a585a00", "hex")],
    ["bzip2", Buffer.from("BZh9")],
  ])("that is packed with %s says how it can be read", (what, bytes) =>
    inFile(bytes, 1 << 20, (unpack) =>
      expect(unpack()).rejects.toThrow(`a is packed with ${what}, which is not read here: unpack it first`),
    ),
  );
});

it("an image that docker save wrote as both is read as a layout", () =>
  inRoom(async (at, unpack, root) => {
    makeLayout(at, { latest: { layers } });
    makeSaved(at, "x:latest", { layers: [tarOf([{ path: "other" }])] });
    expect(kindOf(at)).toBe("oci");
    await unpack();
    expect(filesOf(root)).toEqual(FILES);
  }));

it("an image is read from a tar of its layout, as tar(1) makes it", () =>
  inRoom(async (at, unpack) => {
    const made = join(at, "../made");
    makeLayout(made, { latest: { layers } });
    fs.mkdirSync(at);
    execFileSync("tar", ["-cf", `${made}.tar`, "-C", made, "."]);
    const fd = fs.openSync(`${made}.tar`, "r");
    const unpacking = startUnpacking(at);
    await unpacking.add(readArchive(fd, "made.tar", { bytes: 1 << 24, disk: at }).pieces);
    fs.closeSync(fd);
    expect((await unpack()).unpacked.leftOut).toBe(0);
  }));
