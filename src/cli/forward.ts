/** Connections to a port of this machine, each passed on to another place byte for byte. */
import { createServer, type Server, type Socket } from "node:net";

export interface Forward {
  /** The port of 127.0.0.1 on which it listens. */
  port: number;
  close(): void;
}

export interface ForwardOptions {
  /** A port that may be taken for another one, if somebody has it. */
  wanted: number;
  /** Whether it must be that. */
  exact: boolean;
  /** What a connection leads to; null where nothing listens there. */
  connect(): Promise<Socket | null>;
}

/** Throws what the system says where the port cannot be had. */
export async function forward({ wanted, exact, connect }: ForwardOptions): Promise<Forward> {
  const open = new Set<Socket>();
  const keep = (socket: Socket): void => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    // Each end is looked after where the two are joined.
    socket.on("error", () => {});
  };
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) => {
    keep(client);
    void connect().then((there) => {
      if (there) keep(there.setNoDelay(true));
      if (!there) client.resetAndDestroy();
      else if (client.destroyed) there.resetAndDestroy();
      else join(client, there);
    });
  });
  await listen(server, wanted).catch((error: NodeJS.ErrnoException) => {
    if (exact || !["EADDRINUSE", "EACCES"].includes(error.code ?? "")) throw error;
    return listen(server, 0);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address ? address.port : wanted,
    close: () => {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

const listen = (server: Server, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(error);
    server.once("error", failed);
    server.listen(port, "127.0.0.1", () => {
      server.off("error", failed);
      resolve();
    });
  });

/** Each passes on what the other says, and its end of speaking; where one breaks, the other has what came before, and then ends. */
function join(one: Socket, other: Socket): void {
  one.on("error", () => other.destroySoon());
  other.on("error", () => one.destroySoon());
  one.pipe(other);
  other.pipe(one);
}
