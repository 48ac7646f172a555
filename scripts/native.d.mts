export function native(into: string, more?: readonly string[]): boolean;
export const helperName: string;
