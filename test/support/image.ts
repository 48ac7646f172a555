/** Images made of what this machine has, without Docker: a small root file system, and archives of any content. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { findProgram } from "../../src/scope/exec/tools.ts";

const PROGRAMS = [
  "bash",
  "sh",
  "ls",
  "cat",
  "id",
  "mkdir",
  "rm",
  "ln",
  "chmod",
  "chown",
  "sleep",
  "env",
  "head",
  "stat",
  "mount",
  "touch",
  "readlink",
];

/** A root file system in which these programs run, with the libraries that they need. */
export function makeRoot(at: string, programs: readonly string[] = PROGRAMS): string {
  for (const each of ["usr/bin", "usr/lib", "etc", "root", "home/user", "srv"])
    fs.mkdirSync(join(at, each), { recursive: true });
  for (const [name, to] of [
    ["bin", "usr/bin"],
    ["lib", "usr/lib"],
  ] as const)
    fs.symlinkSync(to, join(at, name));
  fs.mkdirSync(join(at, "lib64"));
  const put = (from: string, to: string): void => {
    fs.mkdirSync(dirname(join(at, to)), { recursive: true });
    if (!fs.existsSync(join(at, to))) fs.copyFileSync(from, join(at, to));
  };
  for (const name of programs) {
    const program = fs.realpathSync(name.startsWith("/") ? name : findProgram(name)!);
    put(program, `usr/bin/${name.split("/").at(-1)}`);
    let libraries = "";
    try {
      libraries = execFileSync("ldd", [program], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    } catch {
      // A static one needs none.
    }
    for (const [library] of libraries.matchAll(/\/\S+/g)) put(library, library);
  }
  fs.writeFileSync(join(at, "etc/passwd"), "root:x:0:0:root:/root:/bin/bash\nuser:x:1000:1000::/home/user:/bin/bash\n");
  fs.writeFileSync(join(at, "etc/hello"), "from the image\n");
  return at;
}

export interface Entry {
  path: string;
  /** The flag of the header: `0` without it. */
  flag?: string;
  content?: string | Buffer;
  target?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  /** Instead of the length of the content. */
  size?: number;
}

/** A tar with exactly these entries, whatever they are. */
export function tarOf(entries: readonly Entry[]): Buffer {
  const blocks: Buffer[] = [];
  for (const { path, flag = "0", content = "", target = "", mode = 0o644, uid = 0, gid = 0, size } of entries) {
    const bytes = Buffer.from(content as string);
    const head = Buffer.alloc(512);
    const octal = (value: number, at: number, length: number) =>
      head.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "latin1");
    head.write(path, 0, 100, "latin1");
    octal(mode, 100, 8);
    octal(uid, 108, 8);
    octal(gid, 116, 8);
    octal(size ?? bytes.length, 124, 12);
    octal(1_600_000_000, 136, 12);
    head.write("        ", 148, "latin1");
    head.write(flag, 156, "latin1");
    head.write(target, 157, 100, "latin1");
    head.write("ustar\x0000", 257, "latin1");
    head.write(
      `${head
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, "0")}\0 `,
      148,
      "latin1",
    );
    blocks.push(head, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512));
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

export const digest = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

export interface Made {
  layers: Buffer[];
  config?: object;
  architecture?: string;
}

/** An OCI layout with one image for each tag. */
export function makeLayout(at: string, images: { [tag: string]: Made }): string {
  fs.mkdirSync(join(at, "blobs/sha256"), { recursive: true });
  const put = (bytes: Buffer): { digest: string; size: number } => {
    fs.writeFileSync(join(at, "blobs/sha256", digest(bytes).slice(7)), bytes);
    return { digest: digest(bytes), size: bytes.length };
  };
  const json = (value: object) => put(Buffer.from(JSON.stringify(value)));
  const manifests = Object.entries(images).map(([tag, { layers, config = {}, architecture }]) => {
    const about = {
      architecture: "amd64",
      os: "linux",
      config,
      rootfs: { type: "layers", diff_ids: layers.map(digest) },
    };
    const manifest = json({
      schemaVersion: 2,
      config: json(about),
      layers: layers.map((layer) => put(gzipSync(layer))),
    });
    return {
      ...manifest,
      annotations: { "org.opencontainers.image.ref.name": tag },
      ...(architecture && { platform: { os: "linux", architecture } }),
    };
  });
  fs.writeFileSync(join(at, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  fs.writeFileSync(join(at, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
  return at;
}

/** What `docker save` wrote before it wrote layouts. */
export function makeSaved(at: string, tag: string, { layers, config = {} }: Made): string {
  fs.mkdirSync(at, { recursive: true });
  const about = Buffer.from(JSON.stringify({ config, rootfs: { type: "layers", diff_ids: layers.map(digest) } }));
  const name = `${digest(about).slice(7)}.json`;
  fs.writeFileSync(join(at, name), about);
  const files = layers.map((layer, i) => {
    fs.mkdirSync(join(at, `layer${i}`));
    fs.writeFileSync(join(at, `layer${i}/layer.tar`), layer);
    return `layer${i}/layer.tar`;
  });
  fs.writeFileSync(join(at, "manifest.json"), JSON.stringify([{ Config: name, RepoTags: [tag], Layers: files }]));
  return at;
}
