export function native(into: string, more?: readonly string[], compiler?: string): boolean;
export function others(dir: string): string[];
export const helperName: string;
