/** The option by which a run gets services, and what is said of them and of processes that were left running. */

import { masked } from "../meta/mask.ts";
import { isServiceName, putServices, type Service, servicesOf } from "../scope/services.ts";
import type { Link } from "../trace/ports.ts";
import type { EmbeddedStore } from "../trace/store.ts";
import { Exit } from "./errors.ts";
import { plain } from "./output.ts";
import { type Flags, list, type Option } from "./verb.ts";
import { named } from "./words.ts";

export const SERVICE_OPTION: { service: Option } = {
  service: {
    type: "string",
    multiple: true,
    value: "SERVICE",
    help: "NAME=COMMAND: a command that runs beside its calls, and is started anew whenever its files were set",
  },
};

/** More than that nobody starts by hand. */
const MOST = 32;

/** What the flags declare; of one without a command only the name counts. `at`: where it starts, relative to the workspace. */
function asked(flags: Flags, at: string): Service[] {
  const found = list(flags, "service").map((word) => {
    const [, name, command] = /^([^=]*)=(.*)$/s.exec(word) ?? [];
    if (name === undefined || !isServiceName(name))
      throw new Exit(
        2,
        `--service takes NAME=COMMAND, as web='npm run dev', with a name of lower-case letters, digits, - and _, not ${JSON.stringify(word)}.`,
      );
    return { name, command: command!.trim(), ...(at && { at }) };
  });
  const twice = found.find(({ name }, i) => found.findIndex((each) => each.name === name) !== i);
  if (twice) throw new Exit(2, `--service names ${twice.name} twice: give each a name of its own.`);
  return found;
}

/** The services of a new scope: those of what it goes on from, and those that the flags add, replace or (without a command) leave out. Undefined without any change. */
export async function servicesFor(
  store: EmbeddedStore,
  flags: Flags,
  at: string,
  from?: { name: string; log: string },
): Promise<Link | undefined> {
  const given = asked(flags, at);
  if (given.length === 0) return undefined;
  const before = from ? await servicesOf(store, from.log) : [];
  const odd = given.find(({ name, command }) => command === "" && !before.some((each) => each.name === name));
  if (odd)
    throw new Exit(
      2,
      from
        ? `${from.name} has no service ${odd.name} to leave out.`
        : `Which command is the service ${odd.name}? \`--service '${odd.name}=COMMAND'\`.`,
    );
  const kept = before.filter(({ name }) => !given.some((each) => each.name === name));
  const services = [...kept, ...given.filter(({ command }) => command !== "")];
  if (services.length > MOST) throw new Exit(2, `A run has ${MOST} services at most.`);
  return putServices(store, services);
}

/** Command lines as they may be shown. */
export const shownCommands = (commands: readonly string[]): string[] => commands.map((each) => plain(masked(each)));

/** How many of them a sentence names. */
const FEW = 5;
export const someCommands = (commands: readonly string[]): string => {
  const shown = commands.slice(0, FEW).map((each) => (each.length > 60 ? `${each.slice(0, 59)}…` : each));
  const more = commands.length - shown.length;
  return `${named(shown)}${more > 0 ? ` and ${more} more` : ""}`;
};
