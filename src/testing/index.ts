/** For tests of one's own agents: nothing here asks a real model, or a user's store. `docs/testing.md` shows how. */
export { type FakeClock, fakeClock } from "./clock.ts";
export { type RecordedOptions, recorded } from "./recorded.ts";
export { type Scripted, scripted, type Turn } from "./scripted.ts";
export { type AssertOptions, assertSteps, type HasSteps, type StepPattern, told } from "./steps.ts";
export { type Temporary, temporary } from "./temporary.ts";
