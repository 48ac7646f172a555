/** A run whose calls tell that they were begun, and end once the user lets them. */
import * as fs from "node:fs";
import { join } from "node:path";
import { bash, type Running, type Turn, type User, until } from "./user.ts";

export interface Gated {
  run: Running;
  begun(name: string): Promise<void>;
  go(name: string): void;
}

/** A call that waits at a gate; `then`: what it does behind it. */
export const wait = (gate: string, name: string, then = "") =>
  bash(`touch ${gate}/${name}.begun; until [ -e ${gate}/${name} ]; do sleep 0.01; done${then && `; ${then}`}`);

/** Starts a run named `fix` of a scripted model, whose calls may write to the gate. */
export function gated(user: User, turns: (gate: string) => Turn[], ...options: string[]): Gated {
  const gate = join(user.directory, "gate");
  fs.mkdirSync(gate);
  const run = user.start([
    ...["run", ...options, "--scope", "fix", "--write", gate],
    ...["--model", user.script(turns(gate)), "go"],
  ]);
  return {
    run,
    begun: (name) =>
      until(
        () => fs.existsSync(join(gate, `${name}.begun`)),
        () => run.out + run.err,
      ),
    go: (name) => fs.writeFileSync(join(gate, name), ""),
  };
}
