import { quote } from "./quote.ts";
import { CLOSE_OTHERS, SCRIPT } from "./sandbox.ts";
import { fromText, type ShellState, type Text, type Variable } from "./shellstate.ts";

/** Descriptor at which a shell keeps the file of its report: out of the way of those that scripts choose. */
const REPORT = 100;

/**
 * Writes the state to the report. Each part ends with a NUL byte, which none can hold. A name behind `\` is no alias; `builtin`
 * passes over functions. The options come first, since the rest changes them.
 */
const dump = (nonce: string) => `\\builtin trap - DEBUG ERR RETURN
{ \\builtin printf 'D${nonce}\\0'; \\builtin set +o; \\builtin printf '\\0'; \\builtin shopt -p || :
\\builtin set +euxvfCTE
\\builtin printf '\\0'; \\builtin umask; \\builtin printf '\\0'; \\builtin pwd -L
\\builtin printf '\\0%s\\0' "\${OLDPWD+=$OLDPWD}"
\\builtin alias -p; \\builtin printf '\\0'; \\builtin declare -px; \\builtin printf '\\0'
\\builtin set +o posix; \\builtin declare -F; \\builtin printf '\\0'
IFS=$' \\n'; \\builtin set -f; \\builtin set -- $(\\builtin declare -F)
while [[ $# -gt 0 ]]; do \\builtin declare -f -- "$3"; \\builtin printf '\\0'; \\builtin shift 3 || \\builtin break; done
\\builtin printf 'E${nonce}\\0'; } >&${REPORT}`;

const EXPORTS = "set -o allexport";
/** Options that would show in what comes before the command, or end it: they are set in the command's own first line. */
const LATE = /^set -o (?:errexit|noexec|nounset|onecmd|verbose|xtrace)$/;

/**
 * The arguments of a bash that takes its state from the script, runs the command and leaves a report. Where the command ends
 * the shell itself, a trap leaves it.
 */
export const shellArguments = (nonce: string): string[] => [
  "-c",
  // One compound command: bash has read all of it before the command begins, whose aliases and options do not matter to it then.
  // Nor may anything be read after it: where a command lacks the end of a `$(`, bash 5.2 breaks its own memory.
  `{ . ${SCRIPT}; \\eval "set --;$2$1"
{ SHEPHERD_STATUS=$?; ${dump(nonce)}; } >/dev/null 2>&1
\\builtin exit "$SHEPHERD_STATUS"; }`,
  "bash",
];

/** Parts of a report that come before the state. */
export const LOST_CWD = "Rcwd";
export const LOST_FUNCTION = "Rfunction ";

/**
 * The script that brings a new bash into a state. `places`: the state's directory, then others to try; `former`: the one before.
 * All are byte strings, and paths as bash must be told them.
 */
export function restoreScript(
  state: ShellState,
  command: string | Uint8Array,
  { places, former }: { places: readonly string[]; former: string | null },
  nonce: string,
): string {
  const word = (text: Text) => quote(fromText(text));
  const report = (line: string) => `\\builtin printf '%s\\0' ${quote(line)} >&${REPORT}`;
  const cd = places.map((at) => `\\builtin cd -- ${quote(Buffer.from(at, "latin1"))} 2>/dev/null`);
  const options = state.options.split("\n").filter((line) => line !== "");
  const late = options.filter((line) => LATE.test(line));
  // Posix mode sets others, and makes functions and aliases mean something else: as late as can be, and before what it sets. What options set is
  // exported only where it was.
  const early = options
    .filter((line) => !late.includes(line))
    .sort((a, b) => Number(b === POSIX) - Number(a === POSIX) || Number(a === EXPORTS) - Number(b === EXPORTS));
  const isPosix = (row: Variable) => row[0] === "POSIXLY_CORRECT";
  return [
    CLOSE_OTHERS,
    `exec ${REPORT}>&4 3<&- 4>&-`,
    `\\builtin umask ${state.umask}`,
    `${cd[0]} || { ${report(LOST_CWD)}; ${[...cd.slice(1), "\\builtin cd /"].join(" || ")}; }`,
    `\\builtin unset OLDPWD; \\builtin export OLDPWD${former === null ? "" : `=${quote(Buffer.from(former, "latin1"))}`}`,
    ...state.env.filter((row) => !isPosix(row)).map(declare),
    `\\builtin eval ${word(state.aliases)}`,
    `\\builtin trap -- ${quote(`{ [[ \${SHEPHERD_STATUS+x} ]] || { ${dump(nonce)}; }; } >/dev/null 2>&1`)} EXIT`,
    "\\builtin shopt -s extglob",
    ...state.functions.map(([name, definition, attributes]) => {
      const kind = attributes ? ` && \\builtin declare -f${attributes} -- ${word(name)}` : "";
      const lost = quote(Buffer.concat([Buffer.from(LOST_FUNCTION), fromText(name)]));
      return `{ \\builtin eval ${word(definition)}${kind}; } 2>/dev/null || \\builtin printf '%s\\0' ${lost} >&${REPORT}`;
    }),
    "\\builtin shopt -u extglob",
    ...early.map((line) => `\\builtin ${line} 2>/dev/null`),
    ...state.env.filter(isPosix).map(declare),
    `\\builtin set -- ${quote(closed(command))} ${quote(late.map((line) => `${line};`).join(""))}`,
    "",
  ].join("\n");
}

const POSIX = "set -o posix";

/** A command that ends in the midst of a line would have bash look for the rest of it in what follows. */
function closed(command: string | Uint8Array): string | Uint8Array {
  const text = Buffer.from(command as string);
  const slashes = text.length - (text.findLastIndex((byte) => byte !== 0x5c) + 1);
  return slashes % 2 === 1 ? Buffer.concat([text, Buffer.from("\n\n")]) : command;
}

function declare([name, value, attributes = ""]: Variable): string {
  // Lists may only stand after a plain `declare`. No function or alias is in its way yet.
  const head = `declare -x${attributes} ${name}`;
  if (value === null) return head;
  if (!/[aA]/.test(attributes)) return `${head}=${quote(fromText(value))}`;
  return `\\builtin eval ${quote(Buffer.concat([Buffer.from(`${head}=`), fromText(value)]))}`;
}
