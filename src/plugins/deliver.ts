/** Hands over to an agent at work what people have injected, and knows it again where the agent tells it to its model. */
import type { Around } from "../gateway/session.ts";
import { type Inbox, type Injected, textOf, witnessOf } from "../run/inject.ts";
import type { LiveScope } from "../scope/scope.ts";
import type { Item } from "../scope/thread.ts";

export interface Delivery {
  injected: NonNullable<Around["injected"]>;
  /** Hands over what waits, from now on as it comes. */
  begin(): void;
  /** What waits, as one text, for an agent that has nothing else to do; null if nothing does. It counts as handed over. */
  asPrompt(): Promise<string | null>;
  /** Whether something was handed over that its model was not told yet. */
  readonly owed: boolean;
  end(): void;
}

/** @param send hands over a text; false if the agent takes none any more. */
export function makeDelivery(scope: LiveScope, inbox: Inbox, send: (text: string) => boolean): Delivery {
  /** What was handed over and is not told yet. */
  const handed = new Map<string, { injected: Injected; text: string }>();
  let begun = false;
  let ended = (): void => {};
  let last: Promise<void> = Promise.resolve();

  const fresh = (): Injected[] => inbox.waiting().filter(({ id }) => !handed.has(id));
  const deliver = (): void => {
    if (!begun) return;
    last = last.then(async () => {
      for (const injected of fresh()) {
        const text = await textOf(scope, injected);
        if (send(text)) handed.set(injected.id, { injected, text });
      }
    });
    last.catch(() => {});
  };
  return {
    injected: (item, thread) => {
      // A sub-agent may be told the same words by its parent.
      if (thread.name !== "main" || handed.size === 0) return null;
      const said = wordsOf(item);
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
        const text = await textOf(scope, injected);
        handed.set(injected.id, { injected, text });
        texts.push(text);
      }
      return texts.length > 0 ? texts.join("\n\n") : null;
    },
    get owed() {
      return handed.size > 0;
    },
    end: () => ended(),
  };
}

const wordsOf = (item: Item): string =>
  item.content.map((block) => (block.type === "text" ? block.text : "")).join("\n");

/** Whether a text stands in another on lines of its own: agents put words of theirs before and behind it. */
function holds(all: string, text: string): boolean {
  const words = text.trim();
  for (let at = all.indexOf(words); at >= 0; at = all.indexOf(words, at + 1)) {
    const end = at + words.length;
    if (/(^|\n)[ \t]*$/.test(all.slice(0, at)) && /^[ \t]*(\n|$)/.test(all.slice(end))) return true;
  }
  return false;
}
