/** Programs that run others: shells, languages, and what stands before a command. */
import { type Arg, arg } from "../shell/expand.ts";
import { optionsOf } from "../shell/options.ts";
import type { Stream } from "../shell/run.ts";
import { type Here, type Program, type Programs, same } from "./program.ts";
import { isGenerated } from "./target.ts";

/** What stands before a command, and its options that take a value. */
const BEFORE: { [name: string]: string[] } = {
  "sudo doas": ["u", "g", "C", "h", "p", "U", "R", "D", "T", "user", "group", "chdir", "host", "prompt"],
  "nice ionice chrt taskset": ["n", "c", "p", "adjustment"],
  "nohup setsid stdbuf unbuffer command builtin exec noglob eatmydata fakeroot gosu": ["i", "o", "e", "a"],
  "time gtime": ["f", "o", "format", "output"],
  "strace ltrace perf": ["e", "o", "p"],
  "unshare nsenter bwrap firejail chroot": ["t", "S", "G", "R", "w", "bind", "ro-bind", "dev"],
  "watch entr": ["n", "interval"],
  "npx pnpx bunx uvx": ["p", "package", "c", "call"],
};

/** Words that stand before the command and are no options: a user, a lock, a directory. */
const SKIPPED: { [name: string]: number } = { gosu: 1, chroot: 1, flock: 1, taskset: 1 };

const before =
  (valued: string[]): Program =>
  (here) => {
    const { rest, value } = optionsOf(here.args, valued, { stop: true });
    const given = value("c", "call");
    if (here.name.startsWith("np") && given) return here.script(given.text);
    return here.call(rest.slice(SKIPPED[here.name] ?? 0));
  };

const LANGUAGES: { [names: string]: { language: string; says: string[]; valued: string[] } } = {
  "python python2 python3 pypy pypy3 ipython": { language: "python", says: ["c"], valued: ["c", "m", "W", "X"] },
  "node nodejs": {
    language: "node",
    says: ["e", "eval", "p", "print"],
    valued: ["e", "eval", "p", "print", "r", "require", "import", "loader"],
  },
  "bun deno tsx ts-node": { language: "node", says: ["e", "eval", "p", "print"], valued: ["e", "eval", "p", "print"] },
  perl: { language: "perl", says: ["e", "E"], valued: ["e", "E", "M", "I", "m"] },
  ruby: { language: "ruby", says: ["e"], valued: ["e", "r", "I"] },
  php: { language: "php", says: ["r"], valued: ["r", "d"] },
};

const languages: Programs = Object.assign(
  {},
  ...Object.entries(LANGUAGES).map(([names, { language, says, valued }]) =>
    same(names, (here) => {
      const { values, rest, value } = optionsOf(here.args, valued, { stop: true });
      // `perl -pi -e`, `perl -ne`: the value of a cluster's last letter.
      const said = values(...says);
      for (const { text, unknown } of said) here.code(language, unknown && text === "" ? null : text);
      if (said.length > 0) return;
      if (language === "node" && rest[0]?.text === "eval" && rest[1]) here.code(language, rest[1].text);
      else if (rest.length === 0 || rest[0]?.text === "-") {
        if (here.stdin && !value("m")) here.code(language, here.stdin.text);
      } else
        here.call(
          rest
            .filter(({ text }) => !/^-/.test(text))
            .map((each, at) => (at === 0 ? { ...each, text: script(each.text) } : each)),
        );
    }),
  ),
);

/** A script of a name that is known by itself, as `manage.py` or `artisan`. */
const script = (path: string): string => (/(?:^|\/)(?:manage\.py|artisan)$/.test(path) ? path : `./${path}`);

function shell(here: Here): Stream | null | undefined {
  const { args, stdin, note } = here;
  const at = args.findIndex(({ text }) => /^-[A-Za-z]*c$/.test(text));
  if (at >= 0) {
    const said = args[at + 1];
    if (!said || (said.unknown && said.text === "")) note("limited", "What the shell is told cannot be told.");
    else return here.script(said.text, args.slice(at + 3));
    return;
  }
  const { rest, has } = optionsOf(args, ["o", "O"], { stop: true });
  if (rest.length > 0 && !has("s")) {
    // A script in a file, which is not read here; from a pipe that is shown as one it is.
    if (!/^(?:\/dev\/(?:stdin|fd\/0)|-|\?)$/.test(rest[0]!.text)) return;
  }
  if (!stdin) return;
  if (stdin.text !== null) return here.script(stdin.text, rest);
  note("limited", stdin.from === "network" ? "It runs what it fetches." : "It runs what cannot be told.");
}

function xargs(here: Here): Stream | null {
  const { args, stdin } = here;
  const { rest, value, has } = optionsOf(
    args,
    ["I", "n", "P", "L", "d", "a", "s", "E", "max-args", "max-procs", "replace", "delimiter", "arg-file"],
    { stop: true },
  );
  const words = stdin?.text
    ?.split(/\s+/)
    .filter((word) => word !== "")
    .map(arg);
  const given: readonly Arg[] = words ?? stdin?.paths ?? [{ text: "", unknown: true, glob: true }];
  const mark = value("I", "replace")?.text ?? (has("I", "replace", "i") ? "{}" : null);
  if (mark === null) return here.call([...rest, ...given], null);
  for (const each of given)
    here.call(
      rest.map((word) =>
        word.text.includes(mark) ? { ...each, text: word.text.replaceAll(mark, () => each.text) } : word,
      ),
      null,
    );
  return null;
}

/** Passes what it reads on, less or otherwise ordered. */
const filter: Program = ({ stdin }) => (stdin ? { text: null, ...(stdin.paths && { paths: stdin.paths }) } : null);

function grep({ args, stdin }: Here): Stream | null {
  const { rest, has, value } = optionsOf(args, ["e", "f", "A", "B", "C", "m", "include", "exclude", "exclude-dir"]);
  const pattern = value("e") ?? rest[0];
  const files = value("e") ? rest : rest.slice(1);
  const lists = has("l", "files-with-matches", "L");
  if (lists)
    return {
      text: null,
      paths: (files.length > 0 ? files : [arg(".")]).map((each) => ({ ...each, glob: true })),
      from: "grep",
    };
  if (!stdin?.paths || !pattern) return null;
  // `find . | grep pyc`: nothing but what is made again comes through.
  const names = pattern.text.replace(/[()\\^$]/g, "").split("|");
  const known = names.every(
    (name) =>
      isGenerated(name.replace(/\//g, "")) ||
      isGenerated(`*${name.startsWith(".") ? "" : "."}${name}`.replace("*..", "*.")),
  );
  if (known && !has("v", "invert-match"))
    return {
      text: null,
      paths: names.map((name) => ({ text: name.startsWith(".") ? `*${name}` : name, unknown: false, glob: true })),
    };
  return { text: null, paths: stdin.paths };
}

/** Text that goes through a program whose output follows from it. */
const through =
  (change: (text: string, args: readonly Arg[]) => string | null): Program =>
  ({ stdin, args }) => {
    const given = stdin?.text ?? null;
    return given === null ? null : { text: change(given, args) };
  };

const isText = (args: readonly Arg[]): boolean => args.every(({ unknown }) => !unknown);

export const WRAPPERS: Programs = {
  ...Object.assign({}, ...Object.entries(BEFORE).map(([names, valued]) => same(names, before(valued)))),
  ...languages,
  ...same("sh bash dash zsh ksh ash fish rbash", shell),
  ...same("busybox toybox", (here) => here.call(here.args)),
  env: (here) => {
    const { rest, value } = optionsOf(here.args, ["u", "C", "S", "unset", "chdir", "split-string"], { stop: true });
    const split = value("S", "split-string");
    if (split) return here.script(split.text);
    const at = rest.findIndex(({ text }) => !/^\w+=/.test(text));
    return at < 0 ? null : here.call(rest.slice(at));
  },
  timeout: (here) => here.call(optionsOf(here.args, ["s", "k", "signal", "kill-after"], { stop: true }).rest.slice(1)),
  flock: (here) => {
    const { rest, value } = optionsOf(here.args, ["c", "w", "E", "command", "timeout"], { stop: true });
    const at = here.args.findIndex(({ text }) => text === "-c" || text === "--command");
    const said = value("c", "command") ?? here.args[at + 1];
    return at >= 0 && said ? here.script(said.text) : here.call(rest.slice(1));
  },
  su: (here) => {
    const said = optionsOf(here.args, ["c", "command", "s", "g"]).value("c", "command");
    return said ? here.script(said.text) : null;
  },
  script: (here) => {
    const said = optionsOf(here.args, ["c", "command"]).value("c", "command");
    return said ? here.script(said.text) : null;
  },
  ssh: (here) => {
    const { rest } = optionsOf(here.args, ["p", "i", "l", "o", "F", "J", "L", "R", "D"], { stop: true });
    const said = rest
      .slice(1)
      .map(({ text }) => text)
      .join(" ");
    if (said !== "") here.script(`cd /remote && ${said}`);
    return null;
  },
  xargs,
  parallel: (here) => {
    const at = here.args.findIndex(({ text }) => text === ":::");
    const words = optionsOf(at < 0 ? here.args : here.args.slice(0, at), ["j", "jobs"], { stop: true }).rest;
    const given = at < 0 ? (here.stdin?.paths ?? [{ text: "", unknown: true, glob: true }]) : here.args.slice(at + 1);
    const holds = words.some(({ text }) => text.includes("{}"));
    for (const each of given)
      here.call(
        holds
          ? words.map((word) => ({ ...word, text: word.text.replaceAll("{}", () => each.text) }))
          : [...words, each],
        null,
      );
    return null;
  },
  ...same("source .", (here) => {
    if (/^(?:\/dev\/stdin|\?)$/.test(here.args[0]?.text ?? "") && here.stdin?.text) return here.here(here.stdin.text);
    return null;
  }),
  ...same("osascript pwsh powershell cmd wsl", () => null),
  ...same("pnpm yarn npm", (here) => {
    const at = here.args.findIndex(({ text }) => /^(?:exec|dlx|x)$/.test(text));
    if (at >= 0) return here.call(here.args.slice(at + 1).filter(({ text }) => text !== "--"));
    return null;
  }),
  ...same("poetry uv pipenv pdm hatch rye bundle", (here) => {
    const at = here.args.findIndex(({ text }) => /^(?:run|exec)$/.test(text));
    return at >= 0 ? here.call(here.args.slice(at + 1)) : null;
  }),
  echo: ({ args }) => {
    const words = args[0]?.text.match(/^-[neE]+$/) ? args.slice(1) : args;
    const text = words.map((each) => each.text).join(" ");
    const escapes = args[0]?.text.match(/^-\w*e/);
    return {
      text: isText(args) ? `${escapes ? unescaped(text) : text}\n` : null,
      ...(args.some(({ glob }) => glob) && { paths: words }),
    };
  },
  printf: ({ args }) => {
    const [format, ...values] = args;
    if (!format || !isText(args)) return null;
    let at = 0;
    const text = unescaped(format.text).replace(/%[-0-9.]*([sdbq%])/g, (_, kind: string) =>
      kind === "%" ? "%" : (values[at++]?.text ?? ""),
    );
    // The format is used again for what is left.
    const more =
      at > 0 ? values.slice(at).map((each) => unescaped(format.text).replace(/%[-0-9.]*[sdbq]/, () => each.text)) : [];
    return { text: [text, ...more].join("") };
  },
  cat: ({ args, stdin }) => {
    const { rest } = optionsOf(args);
    return rest.length === 0 || rest.every(({ text }) => text === "-") ? stdin : null;
  },
  base64: through((text, args) =>
    args.some(({ text: word }) => /^(?:-d|-D|--decode|-di)$/.test(word))
      ? Buffer.from(text, "base64").toString("utf8")
      : `${Buffer.from(text).toString("base64")}\n`,
  ),
  base32: through(() => null),
  rev: through((text) =>
    text
      .split("\n")
      .map((line) => [...line].reverse().join(""))
      .join("\n"),
  ),
  tr: through((text, args) => {
    const [from, to] = args.map((each) => each.text);
    if (from === "-d" && to !== undefined && !/[[\\-]/.test(to))
      return [...text].filter((char) => !to.includes(char)).join("");
    const [these, those] = [from, to].map((set) => (set === undefined || /[[\\]/.test(set) ? null : ranged(set)));
    if (!these || !those || from!.startsWith("-")) return null;
    return [...text].map((char) => those[Math.min(these.lastIndexOf(char), those.length - 1)] ?? char).join("");
  }),
  xxd: through((text, args) =>
    args.some(({ text: word }) => word === "-r") && args.some(({ text: word }) => /p/.test(word))
      ? Buffer.from(text.replace(/\s/g, ""), "hex").toString("utf8")
      : null,
  ),
  ...same("grep egrep fgrep rg", grep),
  ...same("sort uniq head tail awk cut tac shuf", filter),
  ls: ({ args }) => {
    const { rest } = optionsOf(args);
    return {
      text: null,
      paths:
        rest.length > 0 ? rest.map((each) => ({ ...each, glob: true })) : [{ text: "*", unknown: false, glob: true }],
      from: "ls",
    };
  },
  mktemp: ({ args }) => {
    const { value } = optionsOf(args, ["p", "tmpdir"]);
    return { text: `${value("p", "tmpdir")?.text ?? "/tmp"}/tmp.made\n` };
  },
  basename: ({ args }) => (args[0] && isText(args) ? { text: `${args[0].text.split("/").at(-1)}\n` } : null),
  dirname: ({ args }) =>
    args[0] && isText(args) ? { text: `${args[0].text.replace(/\/?[^/]*\/?$/, "") || "."}\n` } : null,
  ...same("realpath readlink", ({ args }) => {
    const { rest } = optionsOf(args);
    return rest[0] && isText(rest) ? { text: `${rest[0].text}\n` } : null;
  }),
};

/** The characters of a set as `tr` takes it: `a-c` is three. */
const ranged = (set: string): string =>
  set.replace(/(.)-(.)/g, (_, from: string, to: string) =>
    String.fromCharCode(
      ...[...Array(Math.max(to.charCodeAt(0) - from.charCodeAt(0) + 1, 0)).keys()].map((at) => from.charCodeAt(0) + at),
    ),
  );

/** What `echo -e` and `printf` make of backslashes. */
const unescaped = (text: string): string =>
  text.replace(/\\(x[0-9a-fA-F]{1,2}|0?[0-7]{1,3}|[nrt\\])/g, (_, code: string) => {
    if (code === "n") return "\n";
    if (code === "t") return "\t";
    if (code === "r") return "\r";
    if (code === "\\") return "\\";
    return String.fromCharCode(code.startsWith("x") ? Number.parseInt(code.slice(1), 16) : Number.parseInt(code, 8));
  });
