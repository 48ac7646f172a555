/** Programs that delete, empty or overwrite files. */
import { type Arg, arg } from "../shell/expand.ts";
import { optionsOf } from "../shell/options.ts";
import { EMPTIED, FILE, type Here, type Program, type Programs, same, WHOLE } from "./program.ts";
import { isGenerated } from "./target.ts";

/** So many single files are more than a few. */
const MANY = 6;

const rm: Program = (here) => {
  const { rest, has } = optionsOf(here.args);
  const recursive = has("r", "R", "recursive");
  for (const each of rest) here.path(each, recursive ? WHOLE : FILE);
  const plain = rest.filter(
    ({ text, unknown }) => !unknown && !text.startsWith("/tmp/") && !text.split("/").some(isGenerated),
  );
  if (!recursive && plain.length >= MANY && !plain.every((each) => isOwn(here, each)))
    here.note("work", `It deletes ${plain.length} files.`);
};

const isOwn = ({ place }: Here, { text }: Arg): boolean =>
  ["own", "absent", "ignored"].includes(place.kind?.(text) ?? "");

const last = (args: readonly Arg[]): Arg | undefined => args.at(-1);

export const FILES: Programs = {
  ...same("rm grm", rm),
  ...same("unlink", ({ args, path }) => {
    if (args[0]) path(args[0], FILE);
  }),
  ...same("rimraf del trash trash-put srm", ({ args, path }) => {
    for (const each of optionsOf(args).rest) path(each, WHOLE);
  }),
  rmdir: ({ args, note }) => {
    if (optionsOf(args).rest.length > 0) note("regenerable", "It deletes directories that are empty.");
  },
  shred: ({ args, path }) => {
    for (const each of optionsOf(args, ["n", "s", "iterations", "size"]).rest) path(each, EMPTIED);
  },
  truncate: ({ args, path }) => {
    const { rest, value, has } = optionsOf(args, ["s", "size", "r", "reference"]);
    const size = value("s", "size")?.text ?? "";
    // `+` makes it larger; what is of another size than nothing may, too.
    if (has("r", "reference") || !/^[+>%]/.test(size)) for (const each of rest) path(each, EMPTIED);
  },
  dd: ({ args, path, write }) => {
    const to = args.find(({ text }) => text.startsWith("of="));
    if (!to) return;
    const file = { ...to, text: to.text.slice(3) };
    if (/^\/dev\//.test(file.text)) write(file);
    else path(file, EMPTIED);
  },
  ...same("wipefs sgdisk fdisk parted sfdisk cryptsetup blkdiscard hdparm badblocks", ({ name, args, note }) => {
    if (
      args.some(({ text }) => text.startsWith("/dev/")) &&
      !args.some(({ text }) => /^(?:-l|--list|-n|--no-act|-p|print|status|-I)$/.test(text))
    )
      note("outside", `${name} changes what is on a device.`);
  }),
  ...same("lvremove vgremove pvremove zpool zfs btrfs mdadm", ({ name, args, note }) => {
    if (
      /remove$/.test(name) ||
      args.some(({ text }) => /^(?:destroy|delete|rollback|labelclear|--zero-superblock)$/.test(text))
    )
      note("outside", `${name} removes a file system.`);
  }),
  mv: ({ args, path, note }) => {
    const { rest, value } = optionsOf(args, ["t", "target-directory", "S", "suffix"]);
    const to = value("t", "target-directory") ?? last(rest);
    const moved = value("t", "target-directory") ? rest : rest.slice(0, -1);
    if (!to || moved.length === 0) return;
    if (/^\/dev\/(?:null|zero)$/.test(to.text)) for (const each of moved) path(each, WHOLE);
    else if (/^(?:\/tmp|\/var\/tmp)(?:\/|$)/.test(to.text))
      note("limited", "It moves something to where things are temporary.");
  },
  ...same("cp install ln", ({ args, path, write, name }) => {
    const { rest } = optionsOf(args, ["t", "m", "o", "g", "S", "target-directory", "mode", "owner", "group", "suffix"]);
    const to = last(rest);
    if (rest.length < 2 || !to) return;
    if (rest.slice(0, -1).some(({ text }) => text === "/dev/null" || (name !== "ln" && text === "/dev/zero")))
      path(to, EMPTIED);
    else write(to);
  }),
  tee: ({ args, path, write, stdin }) => {
    const { rest, has } = optionsOf(args);
    if (has("a", "append")) return;
    for (const each of rest) {
      if (stdin?.text === "") path(each, EMPTIED);
      else write(each);
    }
    return stdin;
  },
  chmod: ({ args, path, note }) => {
    const { rest, has } = optionsOf(
      args.filter(({ text }) => !/^-[rwxst]/.test(text)),
      ["reference"],
    );
    const mode = args.find(({ text }) => /^(?:[0-7]{1,4}|[ugoa]*[-+=][rwxXstugo]*(?:,.*)?)$/.test(text));
    const files = rest.filter((each) => each !== mode);
    const shuts =
      mode !== undefined &&
      /^0*(?:0{1,3}|[0-7]?00[0-7]|0[0-7]{2})$|^(?:a|u|ugo)?-[rwx]*r|^(?:a|u|ugo)?=$/.test(mode.text);
    const recursive = has("R", "recursive");
    if (shuts && recursive) for (const each of files) path(each, WHOLE);
    else if (recursive && files.some(({ text }) => /^\/(?:etc|usr|bin|lib|var|home|root)?\/?$/.test(text)))
      note("outside", "It changes who may use the files of the machine.");
  },
  ...same("chown chgrp chattr setfacl", ({ name, args, note }) => {
    const { rest, has } = optionsOf(args);
    if (has("R", "recursive") && rest.some(({ text }) => /^\/(?:etc|usr|bin|lib|var|home|root)?\/?$/.test(text)))
      note("outside", `${name} changes who may use the files of the machine.`);
  }),
  rsync: ({ args, path }) => {
    const { rest, has } = optionsOf(args, ["e", "rsh", "exclude", "include", "f", "filter", "T"]);
    const deletes = args.some(({ text }) => /^--(?:del|delete(?:-\w+)*)$/.test(text));
    if (has("n", "dry-run", "list-only")) return;
    const to = last(rest);
    if (deletes && to && rest.length > 1) path(isRemote(to.text) ? arg("/remote") : to, WHOLE);
    if (args.some(({ text }) => text === "--remove-source-files"))
      for (const each of rest.slice(0, -1)) path(each, WHOLE);
  },
  rclone: ({ args, note, path }) => {
    const { rest, has } = optionsOf(args);
    const [verb, , to] = rest;
    if (has("n", "dry-run") || !verb) return;
    if (/^(?:delete|purge|deletefile|rmdirs|cleanup)$/.test(verb.text))
      note("outside", "It deletes files of a remote.");
    if (verb.text === "sync" && to) path(isRemote(to.text) ? arg("/remote") : to, WHOLE);
  },
  sed: ({ args, path }) => {
    const { rest, has, value } = optionsOf(args, ["e", "f", "expression", "file"]);
    const inPlace = args.some(({ text }) => /^-[nErsz]*i|^--in-place/.test(text));
    if (!inPlace) return;
    const script = value("e", "expression") ?? (has("f", "file") ? undefined : rest[0]);
    const files = value("e", "expression") ? rest : rest.slice(1);
    if (script && /^\s*(?:1,\$|\/\.?\*?\/|0,\$)?\s*d\s*;?\s*$/.test(script.text))
      for (const each of files) path(each, EMPTIED);
  },
  tar: ({ args, path }) => {
    if (!args.some(({ text }) => text === "--remove-files")) return;
    for (const each of optionsOf(args, ["f", "file", "C", "directory"]).rest.slice(
      /^-/.test(args[0]?.text ?? "") ? 0 : 2,
    ))
      path(each, WHOLE);
  },
  zip: ({ args, path }) => {
    const { rest, has } = optionsOf(args);
    if (has("m", "move")) for (const each of rest.slice(1)) path(each, WHOLE);
  },
  find,
  fd: (here) => {
    const at = here.args.findIndex(({ text }) => /^(?:-x|-X|--exec|--exec-batch)$/.test(text));
    if (at >= 0) here.call([...here.args.slice(at + 1), { text: "?", unknown: true, glob: true }]);
  },
};

const isRemote = (text: string): boolean => /^[^/]+:/.test(text);

/** `find`: what it finds is named by where it begins and by the names that it looks for. */
function find(here: Here) {
  const { args, path, call, note } = here;
  const at = args.findIndex(({ text }) => /^[-(!]/.test(text) && !/^-[HLPDO]/.test(text));
  const roots = (at < 0 ? args : args.slice(0, at)).filter(({ text }) => !text.startsWith("-"));
  const tests = at < 0 ? [] : args.slice(at);
  const starts = roots.length > 0 ? roots : [arg(".")];
  const names = tests.flatMap(({ text }, k) =>
    /^-(?:i?name|i?path|i?wholename)$/.test(text) &&
    tests[k - 1]?.text !== "!" &&
    tests[k - 1]?.text !== "-not" &&
    tests[k + 1]
      ? [tests[k + 1]!]
      : [],
  );
  const onlyEmpty = tests.some(({ text }) => text === "-empty");
  const found: Arg[] = starts.flatMap((root) =>
    names.length === 0
      ? [{ text: `${root.text.replace(/\/$/, "")}/*`, unknown: root.unknown, glob: true }]
      : names.map((name) => {
          const below = name.text.replace(/^(?:\.\/|\*\/)+/, "").replace(/\/\*$/, "");
          return {
            text: `${root.text.replace(/\/$/, "")}/${below}`,
            unknown: root.unknown || name.unknown,
            glob: true,
          };
        }),
  );
  const each = (act: (one: Arg) => void): void => {
    if (onlyEmpty) note("regenerable", "It deletes what is empty.");
    else for (const one of found) act(one);
  };
  for (const [k, { text }] of tests.entries()) {
    if (text === "-delete") each((one) => path(one, WHOLE));
    if (!/^-(?:exec|execdir|ok|okdir)$/.test(text)) continue;
    const end = tests.findIndex((word, m) => m > k && (word.text === ";" || word.text === "+"));
    const words = tests.slice(k + 1, end < 0 ? undefined : end);
    each((one) =>
      call(
        words.map((word) =>
          word.text.includes("{}") ? { ...one, text: word.text.replace("{}", () => one.text) } : word,
        ),
      ),
    );
  }
  return { text: null, paths: found, from: "find" };
}
