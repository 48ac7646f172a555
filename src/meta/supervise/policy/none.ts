/** Only looks. */
import type { Policy } from "../policy.ts";

export const nonePolicy: Policy = { name: "none", decide: async () => ({ decisions: [], refused: [] }) };
