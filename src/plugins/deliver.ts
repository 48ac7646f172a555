/** Hands over to an agent at work what people have injected, and knows it again where the agent tells it to its model. */
import type { Around } from "../gateway/session.ts";
import { type Inbox, type Injected, witnessOf, wordsOf } from "../run/inject.ts";
import type { LiveScope } from "../scope/scope.ts";
import { textOf } from "../scope/thread.ts";
import { serial } from "../trace/serial.ts";
import type { Plugin } from "./plugin.ts";

export interface Delivery {
  injected: NonNullable<Around["injected"]>;
  /** Hands over what waits, from now on as it comes. */
  begin(): void;
  /** What waits, as one text, for an agent that has nothing else to do; null if nothing does. It counts as handed over. */
  asPrompt(): Promise<string | null>;
  /**
   * It says that its work is done. Whether it is to go on, since its model was not told yet what was handed over. What it passes over twice it will
   * never tell: that waits for the next time that it is started.
   */
  goesOn(): boolean;
  end(): void;
}

/**
 * @param plugin the agent
 * @param send hands over a text; false if the agent takes none any more
 */
export function makeDelivery(
  scope: LiveScope,
  inbox: Inbox,
  plugin: Pick<Plugin, "asMessage">,
  send: (text: string) => boolean,
): Delivery {
  /** What was handed over and is not told yet. */
  const handed = new Map<string, { injected: Injected; text: string; passedOver: boolean }>();
  let begun = false;
  let ended = (): void => {};
  const inOrder = serial();

  const fresh = (): Injected[] => inbox.waiting().filter(({ id }) => !handed.has(id));
  const deliver = (): void => {
    if (!begun) return;
    inOrder(async () => {
      for (const injected of fresh()) {
        const text = await wordsOf(scope, injected);
        if (send(plugin.asMessage(text))) handed.set(injected.id, { injected, text, passedOver: false });
      }
    }).catch(() => {});
  };
  return {
    injected: (item, inside) => {
      // A sub-agent may be told the same words by its parent.
      if (inside !== undefined || handed.size === 0) return null;
      const said = textOf(item);
      const told = [...handed.values()].filter(({ text }) => holds(said, text)).map(({ injected }) => injected);
      for (const { id } of told) handed.delete(id);
      return told.length > 0 ? witnessOf(told) : null;
    },
    begin: () => {
      if (begun) return;
      begun = true;
      ended = inbox.onCome(deliver);
      deliver();
    },
    asPrompt: async () => {
      const texts: string[] = [];
      for (const injected of fresh()) {
        const text = await wordsOf(scope, injected);
        handed.set(injected.id, { injected, text, passedOver: false });
        texts.push(text);
      }
      return texts.length > 0 ? plugin.asMessage(texts.join("\n\n")) : null;
    },
    goesOn: () => {
      let owed = false;
      for (const each of handed.values()) {
        if (!each.passedOver) owed = true;
        each.passedOver = true;
      }
      return owed;
    },
    end: () => ended(),
  };
}

/** Whether a text stands in another on lines of its own: agents put words of theirs before and behind it. */
function holds(all: string, text: string): boolean {
  const words = text.trim();
  for (let at = all.indexOf(words); at >= 0; at = all.indexOf(words, at + 1)) {
    const end = at + words.length;
    if (/(^|\n)[ \t]*$/.test(all.slice(0, at)) && /^[ \t]*(\n|$)/.test(all.slice(end))) return true;
  }
  return false;
}
