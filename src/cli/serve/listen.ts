/** Where a server of the store listens. */
import { lstatSync, readdirSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { exists } from "../../trace/owner.ts";
import { Exit } from "../errors.ts";

/** Removes the sockets of programs' own servers that were killed. */
export function removeLeft(directory: string, kind: string): void {
  for (const name of readdirSync(directory)) {
    const pid = new RegExp(`^${kind}-(\\d+)\\.sock$`).exec(name)?.[1];
    if (pid !== undefined && !exists(Number(pid))) rmSync(join(directory, name), { force: true });
  }
}

/** Removes what a server that was killed has left. Throws where one listens, or something else lies there. */
export async function requireFree(path: string): Promise<void> {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (!there) return;
  if (!there.isSocket()) throw new Exit(4, `${path} is there, and is no socket: remove it.`);
  const state = await new Promise<"listening" | "left" | "other">((resolve) => {
    const socket = connect(path);
    socket.on("connect", () => {
      socket.destroy();
      resolve("listening");
    });
    socket.on("error", ({ code }: NodeJS.ErrnoException) =>
      resolve(code === "ECONNREFUSED" || code === "ENOENT" ? "left" : "other"),
    );
  });
  if (state === "listening") throw new Exit(3, `A server of this store listens on ${path} already: use that one.`);
  if (state === "other") throw new Exit(4, `${path} cannot be used: remove it.`);
  rmSync(path, { force: true });
}

export const listening = (server: Server, at: { path: string } | { host: string; port: number }): Promise<Server> =>
  new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        ["EADDRINUSE", "EADDRNOTAVAIL", "EACCES", "ENOENT", "EINVAL", "ENAMETOOLONG"].includes(error.code ?? "")
          ? new Exit(4, `Nothing can listen on ${"path" in at ? at.path : `${at.host}:${at.port}`} (${error.code}).`)
          : error,
      ),
    );
    // From the first moment only its owner can connect to it.
    const before = process.umask(0o177);
    try {
      server.listen(at, () => resolve(server));
    } finally {
      process.umask(before);
    }
  });
