/** `shepherd serve`: runs for programs, over HTTP. */
import { randomBytes } from "node:crypto";
import { existsSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { socketPath } from "../../run/socket.ts";
import { Exit } from "../errors.ts";
import { makeHolds } from "../serve/holds.ts";
import { openRoutes } from "../serve/http.ts";
import { makeJobs } from "../serve/jobs.ts";
import { listening, removeLeft, requireFree } from "../serve/listen.ts";
import type { Serving } from "../serve/request.ts";
import { answer, ROUTES } from "../serve/routes.ts";
import { tokenOf } from "../serve/token.ts";
import { count, text, type Verb } from "../verb.ts";

/** Addresses that nobody reaches from elsewhere. */
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/;

export const verb: Verb = {
  brief: "runs for programs: start, step, fork, grade over HTTP",
  usage: "[--port PORT] [--attached]",
  most: 0,
  goesOn: true,
  agents: true,
  options: {
    port: {
      type: "string",
      value: "PORT",
      help: "listen on 127.0.0.1 too, for who knows the token; 0: any that is free",
    },
    host: { type: "string", value: "ADDRESS", help: "listen there instead of 127.0.0.1" },
    expose: { type: "boolean", help: "let --host be an address that others can reach" },
    attached: {
      type: "boolean",
      help: "for a program that starts it: a socket of its own, and the end when standard input ends",
    },
    python: { type: "boolean", help: "only print the directory of the client for Python, for PYTHONPATH" },
  },
  details:
    "Listens on a socket in the store. Who can open that, which is its owner alone, can do all that the command can; over TCP that takes the token, which stands in a file of the store. " +
    "shepherd.py, of one file, is the client for Python (docs/python.md). Ctrl-C stops what runs, and leaves each run so that it can go on.",
  examples: ["shepherd serve", "shepherd serve --port 8765"],
  run: async (context, flags) => {
    const { out, signal, cwd } = context;
    const port = count(flags, "port", 0, 65_535);
    const host = text(flags, "host") ?? "127.0.0.1";
    if (flags.python) {
      const directory = pythonClient();
      out.object({ python: directory });
      out.line(directory);
      return undefined;
    }
    if (port === undefined && (flags.host || flags.expose))
      throw new Exit(2, "--host and --expose are about a port: add --port PORT.");
    if (!LOOPBACK.test(host) && !flags.expose)
      throw new Exit(
        2,
        `${host} can be reached from elsewhere, and what is sent there is not encrypted: add --expose if that is meant.`,
      );
    const store = await context.store();
    const during = await context.apart();
    // In the store, which no run sees: who can open it can do all that its owner can.
    const path = socketPath(store, flags.attached ? `serve-${process.pid}` : "serve");
    const stop = new AbortController();
    const all = AbortSignal.any([signal, stop.signal]);
    const serving: Serving = {
      ...{ store, cwd, during, signal: all },
      holds: makeHolds(store, all, during),
      jobs: makeJobs(all, during),
    };
    const door = (token: ReturnType<typeof tokenOf> | null): Server =>
      openRoutes({
        token,
        host: flags.expose ? host : null,
        routes: ROUTES,
        answer: async ({ route, body, gone }, send) => {
          const answered = answer(serving, route, { body, send, signal: AbortSignal.any([gone, all]) });
          open.add(answered);
          await answered.finally(() => open.delete(answered));
        },
      });
    const servers: Server[] = [];
    const open = new Set<Promise<void>>();
    try {
      removeLeft(dirname(path), "serve");
      await requireFree(path);
      servers.push(await listening(door(null), { path }));
      let url: string | null = null;
      let token: string | null = null;
      if (port !== undefined) {
        const known = tokenOf(store, () => randomBytes(32).toString("base64url"));
        const server = await listening(door(known), { host, port });
        servers.push(server);
        const { address, port: bound, family } = server.address() as AddressInfo;
        url = `http://${family === "IPv6" ? `[${address}]` : address}:${bound}`;
        token = known.path;
        if (flags.expose && !LOOPBACK.test(host))
          out.warn(
            `shepherd: ${url} can be reached from elsewhere: who knows the token can do all that you can, and what is sent there is not encrypted.`,
          );
      }
      out.object({ socket: path, url, token, pid: process.pid });
      out.say(
        `Listening on ${path}${url ? `, and on ${url} for who knows the token in ${token}` : ""}. Ctrl-C ends it.`,
      );
      await Promise.race([aborted(signal), ...(flags.attached ? [inputEnded()] : [])]);
    } finally {
      stop.abort(new DOMException("The server ends.", "AbortError"));
      await Promise.all([serving.jobs.close(), serving.holds.close()]);
      // Answers are sent before their connections go.
      await Promise.allSettled([...open]);
      await new Promise((resolve) => setImmediate(resolve));
      for (const server of servers) {
        server.close();
        server.closeAllConnections();
      }
      if (servers.length > 0) rmSync(path, { force: true });
    }
    return 0;
  },
};

/** The directory of `shepherd.py`, as the package has it. */
function pythonClient(): string {
  for (const up of ["..", "../../.."]) {
    const directory = join(import.meta.dirname, up, "clients/python");
    if (existsSync(join(directory, "shepherd.py"))) return directory;
  }
  throw new Exit(4, "This installation lacks clients/python/shepherd.py: install it anew.");
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });

const inputEnded = (): Promise<void> =>
  new Promise((resolve) => {
    process.stdin.on("end", resolve).on("close", resolve).on("error", resolve).resume();
  });
