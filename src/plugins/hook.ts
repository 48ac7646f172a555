/**
 * The command by which an agent asks before each call, and tells behind it. It fails closed: whatever goes wrong (nobody listens, the answer is
 * cut) it ends with 2 and a reason on standard error, by which Claude Code and Codex do not perform the call. Everything else lets it run; also
 * that the command is killed, which the gateway sees, and ends the run.
 */

/**
 * Sends its standard input, and prints the one line that comes back, or the reason to stop, at descriptor 4. bash reads and writes sockets by
 * itself; `cat` reads in blocks.
 */
const CLIENT = `LC_ALL=C
b=$(cat && printf x) || exit 2; b=\${b%x}
exec 3<>"/dev/tcp/$1/$2" || exit 2
printf "POST %s HTTP/1.1\\r\\nhost: shepherd\\r\\ncontent-length: %d\\r\\n\\r\\n%s" "$3" "\${#b}" "$b" >&3 || exit 2
read -r _ s _ <&3 || exit 2
while IFS= read -r h <&3 || exit 2; do [ "$h" = $(printf "\\r") ] && break; done
case $s in 200) IFS= read -r d <&3 && printf "%s\\n" "$d" || exit 2;; 403) d=$(cat <&3); [ -n "$d" ] || exit 2; printf "%s\\n" "$d" >&4; exit 3;; *) exit 2;; esac`;

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** A line of sh(1) for the settings of an agent. */
export function hookCommand(url: string): string {
  const { hostname, port, pathname } = new URL(url);
  const client = `bash -c ${quote(CLIENT)} shepherd ${hostname} ${port} ${quote(pathname)} 4>&2 2>/dev/null`;
  return `${client} || { [ $? = 3 ] || echo "Shepherd does not answer, so nothing may run: the run is over." >&2; exit 2; }`;
}
