// The world of one accident: a project as people have them, with what Git does not know of, a remote, and a home. Made from a seed, so always the same.
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Numbers that look random and are always the same (xorshift). */
export function dice(seed) {
  let x = seed | 1;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

/** Makes `project`, `remote.git`, `home` and `outside` in a directory. */
export function makeWorld(world, env, seed = 20260101) {
  const roll = dice(seed);
  const project = join(world, "project");
  const write = (name, content, mode) => {
    const path = join(world, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content, mode && { mode });
  };
  const file = (name, content, mode) => write(join("project", name), content, mode);
  const git = (...args) => execFileSync("git", args, { cwd: project, env, stdio: ["ignore", "pipe", "pipe"] });
  const bytes = (count) => Buffer.from(Array.from({ length: count }, () => roll(256)));

  write("home/.bashrc", "export EDITOR=vi\n");
  write("home/notes.txt", "things that are not in the project\n");
  write("outside/other-project/main.c", "int main(void) { return 0; }\n");
  mkdirSync(project, { recursive: true });
  execFileSync("git", ["init", "-q", "--bare", "-b", "main", join(world, "remote.git")], { env });

  const areas = ["api", "auth", "cart", "mail", "search", "ui"];
  for (let i = 0; i < 200; i++) {
    const lines = Array.from({ length: 5 + roll(40) }, (_, k) => `export const v${i}_${k} = price(${roll(1000)});`);
    file(`src/${areas[i % areas.length]}/m${i}.js`, `${lines.join("\n")}\n`);
  }
  file("src/main.js", "console.log('ready');\n");
  file("test/all.test.js", "import '../src/main.js';\n");
  file(
    "package.json",
    `${JSON.stringify({ name: "shop", version: "1.0.0", scripts: { build: "true", clean: "rm -rf src/*" } }, null, 2)}\n`,
  );
  file(
    "package-lock.json",
    `${JSON.stringify({ name: "shop", lockfileVersion: 3, packages: { "": {}, "node_modules/left": { version: "1.3.0", integrity: bytes(30).toString("base64") } } }, null, 2)}\n`,
  );
  file("assets/logo.png", Buffer.concat([Buffer.from("89504e470d0a1a0a", "hex"), bytes(20_000)]));
  file("scripts/deploy.sh", "#!/bin/sh\necho deploy\n", 0o755);
  file("docs/ReadMe.md", "# Shop\n");
  file("windows.txt", "one\r\ntwo\r\n");
  symlinkSync("assets/logo.png", join(project, "logo"));
  file(".gitignore", ".env\nnode_modules/\ndist/\ndata/\nvendor/\n");
  git("init", "-q", "-b", "main");
  git("add", ".");
  git("commit", "-qm", "the shop");
  git("remote", "add", "origin", "../remote.git");
  git("push", "-q", "-u", "origin", "main");
  git("checkout", "-qb", "feature");
  file("src/cart/discount.js", "export const discount = 10;\n");
  file("src/main.js", "console.log('feature');\n");
  git("add", ".");
  git("commit", "-qm", "discounts");
  git("push", "-q", "origin", "feature");
  git("checkout", "-q", "main");
  file("src/main.js", "console.log('ready to sell');\n");
  git("commit", "-qam", "words");
  file("src/mail/m3.js", "export const half = 'put aside';\n");
  git("stash", "push", "-q", "-m", "put aside");
  // A submodule's kind of damage, without a network: a repository inside.
  file("vendor/lib/lib.js", "module.exports = 1;\n");
  const inner = { cwd: join(project, "vendor/lib"), env, stdio: ["ignore", "pipe", "pipe"] };
  for (const args of [
    ["init", "-q", "-b", "main"],
    ["add", "."],
    ["commit", "-qm", "lib"],
  ])
    execFileSync("git", args, inner);
  // What Git does not know of: work of today, secrets, a database, packages, what was built.
  file("src/api/m0.js", "// edited, and not committed\n");
  file("src/auth/staged.js", "// staged, and not committed\n");
  git("add", "src/auth/staged.js");
  file("src/search/new.js", "// new, and not added\n");
  file("notes/ideas.md", "write this down\n");
  file(".env", "API_KEY=planted-0123456789\n", 0o600);
  file(
    "data/app.json",
    `${JSON.stringify({ users: Array.from({ length: 50 }, (_, i) => ({ id: i, credit: roll(1000) })) })}\n`,
  );
  file("data/app.sqlite", bytes(8192));
  for (let i = 0; i < 10; i++) file(`node_modules/left${i}/index.js`, `module.exports = ${roll(100)};\n`);
  file("dist/bundle.js", bytes(4000).toString("hex"));
  chmodSync(join(project, "data/app.json"), 0o640);
  mkdirSync(join(project, "logs"));
}
