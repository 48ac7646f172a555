/**
 * Services: commands that a user has declared for a scope. They run beside its calls, and are started anew whenever its files were set: a process
 * cannot be forked or taken back, but what it was started as can.
 */
import { appendFileSync, mkdirSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { importOf } from "../trace/bundle/imported.ts";
import { encodeJson, link } from "../trace/bytes.ts";
import { Forgotten } from "../trace/objects.ts";
import type { Json, Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import type { Sandbox } from "./exec/sandbox.ts";
import { getBytes } from "./thread.ts";

export interface Service {
  /** See `isServiceName`. */
  name: string;
  /** For bash. */
  command: string;
  /** Where it starts, relative to the workspace; at its root without it, or if there is no such directory. */
  at?: string;
}

export const isServiceName = (word: string): boolean => /^[a-z0-9][a-z0-9_-]{0,31}$/.test(word);

/** Writes down services, for the header of a log. */
export const putServices = async (store: EmbeddedStore, services: readonly Service[]): Promise<Link> =>
  link(
    "json",
    await store.objects.put(
      encodeJson({ type: "services", v: 1, services: services.map((each): Json => ({ ...each })) }),
    ),
  );

/** The services of a scope, as they were declared with it or with what it was forked from. Those of an imported one are not the user's. */
export async function servicesOf(store: EmbeddedStore, log: string): Promise<Service[]> {
  if (await importOf(store, log)) return [];
  const named = (await store.logs.header(log))?.meta.services;
  if (typeof named !== "string") return [];
  try {
    return (JSON.parse((await getBytes(store, named as Link)).toString()) as { services: Service[] }).services;
  } catch (error) {
    // A run must not stand still for what was to be destroyed.
    if (error instanceof Forgotten) return [];
    throw error;
  }
}

/** How a service stands, as a note tells it. */
export type ServiceNote = { note: string; state: "started" | "ended"; code?: number | null; signal?: string | null };

const NOTE = "service ";
export const noteOf = (name: string): string => NOTE + name;
/** The service that a note is about; null if it is about none. */
export const serviceIn = (note: string): string | null => (note.startsWith(NOTE) ? note.slice(NOTE.length) : null);

/** How one ended by itself, in words. */
export const howEnded = ({ code, signal }: { [fact: string]: unknown }): string =>
  typeof signal === "string"
    ? `ended by ${signal}`
    : typeof code === "number"
      ? `exit code ${code}`
      : "it could not be started";

/** Where what the services of a scope write lies on the host, and where their commands see it. */
export const outputOf = (store: Pick<EmbeddedStore, "cache">, log: string): string =>
  join(store.cache("services"), log);
export const outputFile = (folder: string, name: string): string => join(folder, `${name}.log`);

/** So much is kept of what a service writes, and as much of what it wrote before. */
const MOST = 4 << 20;

export interface Services {
  readonly names: readonly string[];
  /** Where their output lies. */
  readonly folder: string;
  /** Starts all, if they do not run; gives whether it did. `place`: where a directory of the workspace is for commands. */
  start(sandbox: Sandbox, place: (at: string) => string): boolean;
  /** Does what ends them, and waits for that; nobody is told of a death then. They can be started again. */
  halt(end: () => Promise<void>): Promise<void>;
}

export const NO_SERVICES: Services = {
  names: [],
  folder: "",
  start: () => false,
  halt: (end) => end(),
};

/** @param tell is told of each start, and of each end that `halt` has not brought */
export function makeServices(
  declared: readonly Service[],
  folder: string,
  tell: (note: ServiceNote) => Promise<void>,
): Services {
  interface Round {
    halted: boolean;
    work: Promise<void>[];
  }
  let round: Round | null = null;

  const run = async (
    { name, command, at = "" }: Service,
    sandbox: Sandbox,
    place: (at: string) => string,
    halted: () => boolean,
  ): Promise<void> => {
    const write = writerTo(outputFile(folder, name));
    write(`shepherd: started at ${new Date().toISOString()}\n`);
    await tell({ note: noteOf(name), state: "started" });
    let how: { code: number | null; signal: string | null } = { code: null, signal: null };
    try {
      const argv = ["bash", "-c", command];
      const done = await sandbox.exec({ argv, cwd: place(at), service: true, maxOutput: 0, onOutput: write });
      how = { code: done.code, signal: done.signal };
      for (const sentence of done.limits ?? []) write(`shepherd: ${sentence}\n`);
    } catch (error) {
      if (!halted()) write(`shepherd: ${(error as Error).message}\n`);
    }
    if (!halted()) await tell({ note: noteOf(name), state: "ended", ...how });
  };

  return {
    names: declared.map(({ name }) => name),
    folder,
    start: (sandbox, place) => {
      if (round || declared.length === 0) return false;
      const mine: Round = { halted: false, work: [] };
      round = mine;
      // What cannot be written down is told by the step that cannot be either.
      mine.work = declared.map((each) => run(each, sandbox, place, () => mine.halted).catch(() => {}));
      return true;
    },
    halt: async (end) => {
      const mine: Round | null = round;
      if (mine) mine.halted = true;
      await end();
      await Promise.all(mine?.work ?? []);
      if (round === mine) round = null;
    },
  };
}

/** Appends to a file; beyond `MOST` it begins anew, and what was there stays beside it. A full disk loses what was to be written. */
function writerTo(file: string): (chunk: Buffer | string) => void {
  return (chunk) => {
    try {
      mkdirSync(join(file, ".."), { recursive: true, mode: 0o700 });
      if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > MOST) renameSync(file, `${file}.1`);
      appendFileSync(file, chunk, { mode: 0o600 });
    } catch {
      // the service goes on
    }
  };
}
