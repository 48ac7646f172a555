/** What a text means to a shell, as far as it matters for what its commands do. */

export type Part =
  | { kind: "text"; text: string; quoted: boolean }
  /** `op` is what stands behind the name in braces: `:-`, `%`, `/`, … with its word. */
  | { kind: "variable"; name: string; quoted: boolean; op?: string; word?: Word }
  | { kind: "command"; script: Script; quoted: boolean }
  /** `<(…)` and `>(…)`. */
  | { kind: "process"; script: Script }
  /** What cannot be told, as arithmetic. It is never empty. */
  | { kind: "unknown" };

export type Word = readonly Part[];

export interface Redirect {
  /** `<`, `>`, `>>`, `>|`, `&>`, `<>`, `<<`, `<<<`. */
  op: string;
  /** Of `<<`: what stands in its lines. */
  to: Word;
}

export interface Assignment {
  name: string;
  /** More than one for a list. */
  values: readonly Word[];
}

export type Node =
  | { kind: "simple"; assignments: readonly Assignment[]; words: readonly Word[]; redirects: readonly Redirect[] }
  | { kind: "pipeline"; parts: readonly Node[] }
  /** All branches of an `if` or `case` and the body of a loop, one behind the other. */
  | { kind: "group"; body: Script; subshell: boolean; redirects: readonly Redirect[] }
  /** `words` is null where it goes over the arguments. */
  | { kind: "for"; name: string; words: readonly Word[] | null; body: Script; redirects: readonly Redirect[] }
  | { kind: "function"; name: string; body: Node };

export type Script = readonly Node[];
