/** Two connections joined into one: bytes pass both ways, as fast as the slower side takes them, and each direction ends for itself. */
import type { Socket } from "node:net";

/**
 * Resolves once both are closed; does not reject.
 * @param used called when something is sent
 */
export function join(client: Socket, outside: Socket, used: () => void, signal: AbortSignal): Promise<void> {
  const stop = (): void => {
    client.destroy();
    outside.destroy();
  };
  const ended = (side: Socket, other: Socket): Promise<void> =>
    new Promise((resolve) => {
      const closed = (): void => {
        // What it had said all of still reaches the other; one that broke off takes the other with it.
        if (side.readableEnded && side.writableFinished) other.destroySoon();
        else other.destroy();
        resolve();
      };
      side.on("error", () => {});
      if (side.closed) closed();
      else side.once("close", closed);
    });
  const both = Promise.all([ended(client, outside), ended(outside, client)]);
  if (signal.aborted) stop();
  else {
    signal.addEventListener("abort", stop, { once: true });
    client.on("data", used);
    client.pipe(outside);
    outside.pipe(client);
  }
  return both.then(() => signal.removeEventListener("abort", stop));
}
