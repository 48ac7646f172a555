import { quote } from "./quote.ts";
import { type ShellState, fromText } from "./shellstate.ts";

/** Descriptor at which a shell keeps the file of its report: out of the way of those that scripts choose. */
const REPORT = 100;

/**
 * Writes the state to the report. Each part ends with a NUL byte, which none can hold. A name behind `\` is no alias; `builtin`
 * passes over functions. The options come first, since the rest changes them.
 */
const dump = (nonce: string) => `{ \\builtin trap - DEBUG ERR RETURN; } >/dev/null 2>&1
{ \\builtin printf 'D${nonce}\\0' || :; \\builtin set +o; \\builtin printf '\\0'; \\builtin shopt -p || :
\\builtin set +euxvfCTEu +o posix; \\builtin unset POSIXLY_CORRECT_IS_OVER
\\builtin printf '\\0'; \\builtin umask
\\builtin printf '\\0'; \\builtin pwd -L
\\builtin printf '\\0%s\\0' "\${OLDPWD+=$OLDPWD}"; \\builtin alias -p
\\builtin printf '\\0'; \\builtin export -p
\\builtin printf '\\0'; \\builtin declare -F; \\builtin printf '\\0'
IFS=$' \\n'; \\builtin set -f; \\builtin set -- $(\\builtin declare -F)
while [[ $# -gt 0 ]]; do \\builtin printf '%s\\0' "$3"; \\builtin declare -f -- "$3"; \\builtin printf '\\0'; \\builtin shift 3; done
\\builtin printf 'E${nonce}\\0'; } >&${REPORT} 2>/dev/null`;
