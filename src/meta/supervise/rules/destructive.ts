/** Intents that would destroy work. Each is looked at by itself, as often as it comes. */
import { destroys, type PathKind, placeOf, SEVERITIES, type Severity } from "../destructive.ts";
import type { Rule } from "../rule.ts";

export interface Destructive {
  /** From this on it is denied. */
  from: Severity;
  home: string;
  /** What is known of a path of a worker's workspace. */
  kind?: (worker: string, path: string) => PathKind | undefined;
}

export const DESTRUCTIVE: Destructive = { from: "work", home: "/root" };

export const destructive =
  ({ from, home, kind }: Destructive = DESTRUCTIVE): Rule =>
  (view) => {
    const place = placeOf(view, { home, ...(kind && { kind: (path: string) => kind(view.name, path) }) });
    for (const intent of view.pending) {
      const { severity } = destroys(intent, place);
      if (SEVERITIES.indexOf(severity) < SEVERITIES.indexOf(from)) continue;
      return {
        worker: view.name,
        cause: `destructive:${intent.n}`,
        action: "deny",
        n: intent.n,
        reason:
          severity === "outside"
            ? "It would destroy something beyond its own files."
            : "It would destroy work that nothing makes again.",
        guidance:
          "This would destroy what nobody asked you to destroy. Take a narrower way: name single files that you made yourself, or leave it and say why it is needed.",
      };
    }
    return null;
  };
