/** What every view masks: text that looks like a credential. The state itself keeps it, since a state must be exact. */

/** Keys that are known by their form. */
const KEYS: readonly RegExp[] = [
  /\b(sk-[A-Za-z0-9_-]{8})[A-Za-z0-9_-]{8,}/g,
  /\b(gh[pousr]_[A-Za-z0-9]{4})[A-Za-z0-9]{16,}/g,
  /\b(github_pat_[A-Za-z0-9]{4})[A-Za-z0-9_]{20,}/g,
  /\b(AKIA[A-Z0-9]{4})[A-Z0-9]{12}\b/g,
  /\b(xox[abposr]-[A-Za-z0-9]{4})[A-Za-z0-9-]{10,}/g,
  /\b(AIza[A-Za-z0-9_-]{4})[A-Za-z0-9_-]{30,}/g,
  /\b(glpat-[A-Za-z0-9_-]{4})[A-Za-z0-9_-]{16,}/g,
  /\b(npm_[A-Za-z0-9]{4})[A-Za-z0-9]{30,}/g,
  /\b(eyJ[A-Za-z0-9_-]{6})[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+/g,
  /(-----BEGIN [A-Z ]*PRIVATE KEY-----)[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
];

/** What stands behind a word that says so. */
const NAMED: readonly RegExp[] = [
  /((?:password|passwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)["']?\s*[:=]\s*["']?)[^\s"'&]{6,}/gi,
  /(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@]+:)[^\s@/]{3,}(?=@)/gi,
  /(\bauthorization:\s*(?:bearer|basic)\s+)[^\s"']{6,}/gi,
];

const PATTERNS = [...KEYS, ...NAMED];
const ANY_KEY = new RegExp(KEYS.map(({ source }) => source).join("|"));

/** Whether a key stands in a text that is known by its form: code that only speaks of passwords has none. */
export const hasKey = (text: string): boolean => ANY_KEY.test(text);

/** Text for people, other programs or a file to give away. */
export function masked(text: string): string {
  let out = text;
  for (const pattern of PATTERNS) out = out.replace(pattern, (_all, head: string) => `${head}[masked]`);
  return out;
}

/** All texts of a value. */
export function maskedIn<T>(value: T): T {
  if (typeof value === "string") return masked(value) as T;
  if (Array.isArray(value)) return value.map(maskedIn) as T;
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, of]) => [masked(key), maskedIn(of)])) as T;
}

/** Lines of one text, each masked, and so are all of a private key, which has many. */
export function maskedLines(lines: readonly string[]): string[] {
  let inKey = false;
  return lines.map((line) => {
    const ends = /-----END [A-Z ]*PRIVATE KEY-----/.test(line);
    const within = inKey && !ends;
    if (ends) inKey = false;
    else if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(line)) inKey = true;
    return within ? "[masked]" : masked(line);
  });
}
