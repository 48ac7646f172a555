// What a client of Redis needs: a command and its answer (RESP 2) over a socket, one at a time.
import { connect } from "node:net";

/** Reads one answer that begins at `at`; null where it is not whole. */
function answer(bytes, at) {
  const end = bytes.indexOf("\r\n", at);
  if (end < 0) return null;
  const line = bytes.toString("utf8", at + 1, end);
  const next = end + 2;
  const kind = String.fromCharCode(bytes[at]);
  if (kind === "+") return { value: line, next };
  if (kind === "-") return { value: new Error(line), next };
  if (kind === ":") return { value: Number(line), next };
  const count = Number(line);
  if (count < 0) return { value: null, next };
  if (kind === "$")
    return bytes.length < next + count + 2
      ? null
      : { value: bytes.toString("utf8", next, next + count), next: next + count + 2 };
  const items = [];
  let from = next;
  for (let k = 0; k < count; k++) {
    const item = answer(bytes, from);
    if (!item) return null;
    items.push(item.value);
    from = item.next;
  }
  return { value: items, next: from };
}

/** Does one command over a connection of its own. Rejects with what the server says, or that there is none. */
export const redis = (path, ...words) =>
  new Promise((resolve, reject) => {
    const socket = connect(path);
    let bytes = Buffer.alloc(0);
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("Redis has closed the connection.")));
    socket.on("data", (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      const got = answer(bytes, 0);
      if (!got) return;
      if (got.value instanceof Error) reject(got.value);
      else resolve(got.value);
      socket.end();
    });
    const parts = words.map((word) => `$${Buffer.byteLength(String(word))}\r\n${word}\r\n`);
    socket.write(`*${words.length}\r\n${parts.join("")}`);
  });
