/** What both sides put at the same place of a text: one after the other, in an order that does not depend on which side is which. */
import { columns, DEFINES, type Statement, telling } from "./statements.ts";

/** Makes one of two definitions of the same name; null where that cannot be. */
export type Weave = (a: readonly Statement[], b: readonly Statement[]) => Statement[] | null;

/** A statement with all that is indented below it, and what belongs to it before (comments, decorators, blank lines). */
interface Unit {
  readonly lead: readonly Statement[];
  readonly head: Statement;
  readonly below: readonly Statement[];
}

/** Statements none of which stands further out than the first. */
type Segment = readonly Statement[];

const ATTACHED = /^\s*(?:@|#\[|#|\/\/|\/\*|\*)/;
const ONWARD = /^\s*(?:[)\]}]|(?:else|elif|elsif|except|finally|catch|rescue|ensure|end|case|when|default)\b)/;
const LEAVES = /^\s*(?:return|raise|throw|break|continue)\b/;

/**
 * Joins two runs of statements that two sides put between the same two statements; `before` is the text above, as each has it. What both have they
 * have once. Deeper lines come first, since they belong to what is above. Null where both define the same and `weave` makes nothing of it, or where
 * nothing behind the first could be reached.
 */
export function joinRuns(
  a: readonly Statement[],
  b: readonly Statement[],
  before: readonly [Statement | undefined, Statement | undefined],
  weave: Weave,
): Statement[] | null {
  const text = (run: readonly Statement[]) => run.map((each) => each.text).join("");
  if (a.length === 0 || b.length === 0 || text(a) === text(b)) return a.length === 0 ? [...b] : [...a];
  const swap = text(a) > text(b);
  const shared = share(swap ? b : a, swap ? a : b, weave);
  if (!shared) return null;
  const list = before.every((each) => each !== undefined && endsWithComma(each));
  const left = segments(shared[0]);
  const right = segments(shared[1]);
  const made: Statement[] = [];
  while (left.length > 0 || right.length > 0) {
    const x = left[0];
    const y = right[0];
    if (x && y && depth(x) === depth(y)) {
      const ordered = order(x, y);
      if (!ordered) return null;
      made.push(...(list ? separated(...ordered) : ordered.flat()));
      left.shift();
      right.shift();
    } else made.push(...(!y || (x && depth(x) > depth(y)) ? left : right).shift()!);
  }
  return made;
}

const endsWithComma = ({ text }: Statement): boolean => /,\s*$/.test(text);

function order(x: Segment, y: Segment): [Segment, Segment] | null {
  const leaves = (run: Segment) => {
    const last = run.findLast(telling);
    return last !== undefined && LEAVES.test(last.text) && columns(last.indent) <= depth(run);
  };
  if (leaves(x)) return leaves(y) ? null : [y, x];
  return [x, y];
}

/** Entries of a list whose entries above end with commas: whatever is followed by another ends with one. */
function separated(x: Segment, y: Segment): Statement[] {
  const closed = (run: Segment) => endsWithComma(run.findLast(telling) ?? run.at(-1)!);
  const [first, second] = closed(y) && !closed(x) ? [y, x] : [x, y];
  if (closed(first)) return [...first, ...second];
  const at = first.findLastIndex(telling);
  return [
    ...first.map((each, i) => (i === at ? { ...each, text: each.text.replace(/(\s*)$/, ",$1") } : each)),
    ...second,
  ];
}

const depth = (run: Segment): number => columns((run.find(({ key }) => key !== "") ?? run[0]!).indent);

/** Cuts a run wherever it comes to stand further out than it began. Blank lines and decorators stay with what is below them. */
function segments(run: readonly Statement[]): Segment[] {
  const prose = run.every(({ quoted }) => quoted);
  const made: Statement[][] = [];
  let held: Statement[] = [];
  let least = Infinity;
  for (const each of run) {
    held.push(each);
    if (each.key === "" || (each.quoted && !prose)) continue;
    const at = columns(each.indent);
    if (at < least && made.length === 0) made.push(held);
    else if (at < least && !ONWARD.test(each.text)) made.push(held);
    else made.at(-1)!.push(...held);
    least = Math.min(least, at);
    held = [];
  }
  if (made.length === 0) return run.length > 0 ? [run] : [];
  made.at(-1)!.push(...held);
  return made;
}

/** Takes out of the second run what the first has as well, and weaves what both define. */
function share(
  a: readonly Statement[],
  b: readonly Statement[],
  weave: Weave,
): [readonly Statement[], readonly Statement[]] | null {
  const first = units(a);
  const text = ({ head, below }: Unit) =>
    [head, ...below]
      .map(({ key }) => key)
      .join("\n")
      .trimEnd();
  const name = ({ head }: Unit) => DEFINES.exec(head.text)?.[1];
  const there = new Set(first.filter(({ head }) => telling(head)).map(text));
  const defined = new Map(first.map((unit, i) => [name(unit), i]));
  defined.delete(undefined);
  const rest: Unit[] = [];
  let changed = false;
  for (const unit of units(b)) {
    const other = defined.get(name(unit));
    if (there.has(text(unit))) changed = true;
    else if (other === undefined) rest.push(unit);
    else {
      const same = first[other]!;
      if (same.head.key !== unit.head.key || same.head.indent !== unit.head.indent) return null;
      const woven = weave(same.below, unit.below);
      if (!woven) return null;
      first[other] = { ...same, below: woven };
      changed = true;
    }
  }
  const flat = (all: readonly Unit[]) => all.flatMap(({ lead, head, below }) => [...lead, head, ...below]);
  return changed ? [flat(first), flat(rest)] : [a, b];
}

function units(run: readonly Statement[]): Unit[] {
  const made: Array<{ lead: Statement[]; head: Statement; below: Statement[] }> = [];
  let lead: Statement[] = [];
  for (const each of run) {
    const open = made.at(-1);
    const inside =
      open !== undefined &&
      each.key !== "" &&
      (columns(each.indent) > columns(open.head.indent) ||
        (ONWARD.test(each.text) && columns(each.indent) === columns(open.head.indent)));
    if (inside) {
      open.below.push(...lead, each);
      lead = [];
    } else if (each.key === "" || ATTACHED.test(each.text)) lead.push(each);
    else {
      made.push({ lead, head: each, below: [] });
      lead = [];
    }
  }
  const last = made.at(-1);
  if (last) last.below.push(...lead);
  else for (const head of lead) made.push({ lead: [], head, below: [] });
  return made;
}
