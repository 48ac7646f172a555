/** `shepherd port`: a port of a run's network, as a port of this machine. */
import { NoOwner } from "../../run/connect.ts";
import type { NetworkOfRun } from "../../run/network.ts";
import { openConnector } from "../../scope/exec/connector.ts";
import type { ScopeRef } from "../../scope/registry.ts";
import { readLog } from "../../scope/view.ts";
import { Exit } from "../errors.ts";
import { type Forward, forward } from "../forward.ts";
import { chooseLive, connectTo } from "../owner.ts";
import { type Context, count, type Verb } from "../verb.ts";

const HIGHEST = 65535;

export const verb: Verb = {
  brief: "reach a server that listens in a run",
  usage: "[RUN] PORT [--to LOCAL]",
  most: 2,
  options: {
    to: { type: "string", value: "LOCAL", help: "the port of this machine; without it PORT if that is free" },
  },
  details:
    "Listens on 127.0.0.1 of this machine, and passes each connection on to PORT of 127.0.0.1 in the network of the run, or of ::1 if nothing listens " +
    "there, until Ctrl-C or until the run ends. A run that has the machine's network needs none of that: its port is the machine's.",
  examples: ["shepherd port fix 8000", "shepherd port fix 8000 --to 9000"],
  run: async (context, flags, args) => {
    const { out, signal } = context;
    const port = numberOf(args.at(-1));
    const to = count(flags, "to", 1, HIGHEST);
    const run = await chooseLive(context, args.length > 1 ? args[0] : undefined);
    const over = new AbortController();
    const owner = await ownerOf(context, run);
    if (!owner) return own(context, run, port);
    try {
      const { enter, gateway } = await owner.network(over);
      if (!enter) return own(context, run, port);
      if (port === gateway)
        throw new Exit(
          3,
          `Port ${port} of ${run.name} is its way to the model, which nobody else gets: choose another.`,
        );
      const connector = await openConnector(enter).catch((error: Error) => {
        throw new Exit(4, `The network of ${run.name} cannot be entered: ${error.message}`);
      });
      try {
        let told = false;
        const listening = await listen(port, to, async () => {
          const socket = await connector.connect(port);
          if (!socket && !told && !over.signal.aborted)
            out.warn(`shepherd: Nothing listens on port ${port} of ${run.name} now: who connects is sent away.`);
          told = socket === null;
          return socket;
        });
        try {
          out.object({ scope: run.name, port, local: listening.port, forwarded: true });
          out.line(`127.0.0.1:${listening.port} leads to port ${port} of ${run.name}, until Ctrl-C or its end.`);
          await Promise.race([aborted(AbortSignal.any([signal, over.signal])), connector.ended]);
        } finally {
          listening.close();
        }
      } finally {
        connector.end();
      }
      if (signal.aborted) return undefined;
      if (!over.signal.aborted)
        throw new Exit(4, `What led into the network of ${run.name} has ended: start it again.`);
      out.object({ scope: run.name, port, ended: true });
      out.line(`${run.name} has ended, and its port ${port} with it.`);
      return undefined;
    } finally {
      owner.close();
    }
  },
};

function numberOf(word: string | undefined): number {
  const port = Number(word);
  if (!/^\d+$/.test(word ?? "") || port < 1 || port > HIGHEST)
    throw new Exit(2, `Which port? It is a number from 1 to ${HIGHEST}, as in \`shepherd port fix 8000\`.`);
  return port;
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });

interface Owner {
  /** What the owner tells of its network; `over` is aborted once it is gone. */
  network(over: AbortController): Promise<NetworkOfRun>;
  close(): void;
}

/** Who drives the run; null where that is a command of the user's own, which has the machine's network and listens to nobody. */
async function ownerOf(context: Context, run: ScopeRef): Promise<Owner | null> {
  const store = await context.store();
  const held = (await store.leases.holder(`log/${run.log}`)) !== null;
  if (held && (await readLog(store, run.log, run)).fold.notes.get("run")?.facts.by === "user") return null;
  const connection = await connectTo(context, run);
  return {
    network: (over) =>
      new Promise((resolve, reject) => {
        const gone = (): void => over.abort();
        connection
          .request("network", {}, (told) => resolve(told as unknown as NetworkOfRun))
          .then(gone, (error: Error) => {
            gone();
            reject(error instanceof NoOwner ? new Exit(3, `${run.name} has ended before it had a network.`) : error);
          });
        context.signal.addEventListener("abort", () => reject(context.signal.reason), { once: true });
      }),
    close: connection.close,
  };
}

/** Nothing is to be passed on. */
function own({ out }: Context, { name }: ScopeRef, port: number): undefined {
  out.object({ scope: name, port, local: port, forwarded: false });
  out.line(
    `${name} has the network of this machine: its port ${port} is 127.0.0.1:${port}, and nothing need be passed on.`,
  );
}

async function listen(
  port: number,
  to: number | undefined,
  connect: () => ReturnType<Parameters<typeof forward>[0]["connect"]>,
): Promise<Forward> {
  try {
    return await forward({ wanted: to ?? port, exact: to !== undefined, connect });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EADDRINUSE")
      throw new Exit(
        3,
        `Somebody listens on port ${to} of this machine already: choose another with --to, or leave it out.`,
      );
    if (code === "EACCES")
      throw new Exit(
        3,
        `Port ${to} of this machine is not for you to listen on: choose one from 1024 on with --to, or leave it out.`,
      );
    throw error;
  }
}
