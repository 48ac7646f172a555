/**
 * Fifty accidents. Each is `{ name, calls }`: what an agent does in the project, as [tool, input] with paths below the project; a text is a command
 * of its shell. `outside` says what it changes beyond the project; `typical`, that README tells of it; `wait`, how many ms what it started goes on.
 */
const edit = (path, from, to) => ["Edit", { file_path: path, old_string: from, new_string: to }];
const read = (path) => ["Read", { file_path: path }];
const write = (path, content) => ["Write", { file_path: path, content }];

const files = [
  { name: "`rm -rf` of the wrong directory", typical: true, calls: ["rm -rf src"] },
  {
    name: "everything but `.git` deleted",
    calls: ["find . -mindepth 1 -maxdepth 1 -not -name .git -exec rm -rf {} +"],
  },
  { name: "a bad `sed` over 200 files", typical: true, calls: ["sed -i 's/price/prize/g; 1d' src/*/*.js"] },
  {
    name: "`find -delete` with a wrong pattern",
    calls: ["find . -path ./.git -prune -o -name 'm*' -type f -print -delete | wc -l"],
  },
  { name: "files emptied by `>`", calls: ["for f in src/auth/*.js; do > $f; done"] },
  { name: "`mv` over a file that was there", calls: ["mv src/api/m6.js src/main.js"] },
  { name: "`cp` over work that was not committed", calls: ["cp src/cart/m2.js src/api/m0.js"] },
  {
    name: "an archive unpacked over the tree",
    calls: ["mkdir -p x/src && echo old > x/src/main.js && tar -C x -cf x.tar src && tar -xf x.tar"],
  },
  { name: "a link replaced by a file", calls: ["rm logo && echo text > logo"] },
  { name: "written through a link into a binary", calls: ["echo text > logo"] },
  { name: "a binary opened as text", calls: ["LC_ALL=C.UTF-8 sed -i 's/\\r$//; s/a/b/' assets/logo.png"] },
  {
    name: "line endings converted everywhere",
    calls: ["find . -path ./.git -prune -o -type f -exec sed -i 's/$/\\r/' {} +"],
  },
  { name: "renamed by case", calls: ["mv docs/ReadMe.md docs/README.md"] },
  { name: "a corrupted lock file", calls: ["sed -i 's/\"integrity\".*/<<<<<<< HEAD/' package-lock.json"] },
  {
    name: "a codemod killed in the middle",
    typical: true,
    calls: [
      "(for f in src/*/*.js; do echo '// migrated' >> $f; sleep 0.005; done) & p=$!; sleep 0.2; kill -9 $p; echo half",
    ],
  },
  { name: "`npm run clean` that wipes src", calls: ["npm run --silent clean"] },
  {
    name: "a background process that goes on writing",
    calls: [
      "(for i in $(seq 40); do echo $i > src/main.js; sleep 0.05; done) > /dev/null 2>&1 & echo started",
      "sleep 0.5; echo next",
    ],
    wait: 2500,
  },
  { name: "empty directories removed", calls: ["find . -path ./.git -prune -o -type d -empty -print -delete"] },
  { name: "a directory replaced by a file", calls: ["rm -rf test && echo test > test"] },
];

const modes = [
  { name: "`chmod -R 000`", typical: true, calls: ["chmod -R 000 src"] },
  { name: "`chmod -R 777`", calls: ["chmod -R 777 ."] },
  { name: "the executable bit lost", calls: ["chmod -x scripts/deploy.sh"] },
  { name: "a secret made readable for all", calls: ["chmod 644 .env"] },
];

const unknown = [
  { name: "`.env` overwritten by the shell", typical: true, calls: ["cp package.json .env"] },
  { name: "a JSON database emptied by a test", calls: ["echo '{\"users\":[]}' > data/app.json"] },
  { name: "an SQLite file recreated", calls: ["rm data/app.sqlite && touch data/app.sqlite"] },
  { name: "node_modules deleted", typical: true, calls: ["rm -rf node_modules"] },
  { name: "a package edited in node_modules", calls: ["echo 'module.exports = 0;' > node_modules/left3/index.js"] },
  { name: "build products deleted", calls: ["rm -rf dist && mkdir dist"] },
  { name: "notes that were never added deleted", calls: ["rm -r notes src/search/new.js"] },
];

const git = [
  { name: "`git reset --hard`", typical: true, calls: ["git reset -q --hard HEAD~1"] },
  { name: "`git checkout .` over work of today", calls: ["git checkout -q ."] },
  { name: "`git clean -fdx`", typical: true, calls: ["git clean -qfdx"] },
  { name: "`git clean -ffdx`, with a repository inside", calls: ["git clean -qffdx"] },
  { name: "`git stash drop`", calls: ["git stash drop -q"] },
  { name: "`git checkout -f` of the wrong branch", calls: ["git checkout -qf feature"] },
  { name: "a rebase left in the middle", calls: ["git stash -q; git rebase feature; true"] },
  { name: "a branch deleted", calls: ["git branch -qD feature"] },
  {
    name: "history rewritten, and the reflog expired",
    calls: ["git commit -q --amend -m oops --allow-empty; git reflog expire --expire=now --all; git gc -q --prune=now"],
  },
  { name: "a leaked key committed", calls: ["git add -f .env && git commit -qm config"] },
  { name: "a deleted `.git`", typical: true, calls: ["rm -rf .git"] },
  {
    name: "a repository inside damaged",
    calls: ["rm -rf vendor/lib/.git/refs vendor/lib/.git/HEAD && echo x > vendor/lib/lib.js"],
  },
];

const tools = [
  { name: "`.env` overwritten by the Write tool", calls: [read(".env"), write(".env", "API_KEY=changeme\n")] },
  { name: "a wrong Edit", typical: true, calls: [read("src/main.js"), edit("src/main.js", "ready to sell", "broken")] },
  {
    name: "an Edit, then `sed` over the same file",
    calls: [read("src/main.js"), edit("src/main.js", "ready to sell", "broken"), "sed -i s/broken/worse/ src/main.js"],
  },
];

const outside = [
  {
    name: "`git push --force` to a remote",
    typical: true,
    calls: [
      "git reset -q --hard HEAD~1 && git commit -q --allow-empty --amend -m other && git push -q --force origin main",
    ],
    outside: "remote.git",
  },
  { name: "a branch deleted on the remote", calls: ["git push -q origin --delete feature"], outside: "remote.git" },
  { name: "`rm -rf` of another project beside", calls: ["rm -rf ../outside/other-project"], outside: "outside" },
  {
    name: "a line in `~/.bashrc`, a file deleted at home",
    calls: ["echo 'alias ls=rm' >> ~/.bashrc; rm ~/notes.txt"],
    outside: "home",
  },
  { name: "a file of another program overwritten in /tmp", calls: ["echo x > $BENCH_TMP/session"], outside: "tmp" },
];

export const CASES = [...files, ...modes, ...unknown, ...git, ...tools, ...outside];
/** A quick run: one of each kind. */
export const QUICK = [
  "`rm -rf` of the wrong directory",
  "a wrong Edit",
  "a line in `~/.bashrc`, a file deleted at home",
];
