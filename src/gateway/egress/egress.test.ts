/** The gateway as a proxy, as programs in a sandbox use it. Nothing leaves this machine: known names lead to servers of the test. */
import { once } from "node:events";
import { createServer as createHttpServer, request as httpRequest } from "node:http";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type GatewayRig, gatewayRig } from "../../../test/support/gateway-rig.ts";
import { answered } from "../../../test/support/provider.ts";
import { until } from "../../../test/support/user.ts";
import { egressOf } from "../../scope/egress.ts";
import type { Grants } from "../../scope/registry.ts";
import type { Tier } from "../../trace/frame.ts";
import { type Egress, openEgress } from "./egress.ts";
import { makeReach, type Reach, type Unreachable } from "./reach.ts";

let rig: GatewayRig;
let egress: Egress;
/** What programs in the sandbox connect to. */
let inside: Server;
let outside: Server;
/** Numbers of the calls that run. */
let calls: number[] = [];
let refused: string[] = [];
const accepted = new Set<Socket>();

const portOf = (server: Server): number => (server.address() as AddressInfo).port;
const listen = async (server: Server): Promise<Server> => {
  server.on("connection", (socket: Socket) => {
    accepted.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => accepted.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
};

/** Known names are served by the server outside. */
const nearby: Reach = (place, named, signal) =>
  makeReach({ lookup: async () => [{ address: "127.0.0.1", family: 4 }] })(
    /^\d|^localhost$/.test(place.host) ? place : { host: "localhost", port: portOf(outside) },
    named || !/^\d|^localhost$/.test(place.host),
    signal,
  );

async function start(
  asked: Partial<Grants> | ((port: number) => Partial<Grants>) = {},
  serve: (socket: Socket) => void = echo,
): Promise<void> {
  outside = await listen(createServer({ allowHalfOpen: true }, serve));
  const grants = typeof asked === "function" ? asked(portOf(outside)) : asked;
  rig = await gatewayRig(answered(200, {}), {
    grants: { readOnly: [], writable: [], network: "proxy", ...grants },
    around: (scope) => {
      const onRefused = (sentence: string): void => void refused.push(sentence);
      egress = openEgress(scope, { running: () => calls, onRefused, reach: nearby });
      return { egress };
    },
  });
  inside = await listen(createServer());
  rig.gateway.accept(inside, 7601);
}
const echo = (socket: Socket): void => void socket.pipe(socket);

beforeEach(() => {
  calls = [];
  refused = [];
});
afterEach(async () => {
  await egress?.close();
  await rig?.end();
  for (const socket of accepted) socket.destroy();
  inside?.close();
  outside?.close();
});

interface Dialled {
  socket: Socket;
  /** The first line of the answer. */
  status: string;
  /** What came behind the head. */
  body: string;
}

/** Asks the proxy with the text, and reads the head of what it answers. */
async function dial(text: string | Buffer, port = portOf(inside)): Promise<Dialled> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.on("error", () => {});
  socket.write(text);
  let said = "";
  await new Promise<void>((resolve) => {
    const hear = (chunk: Buffer): void => {
      said += chunk.toString("latin1");
      if (!said.includes("\r\n\r\n")) return;
      // What comes next is for who reads on.
      socket.off("data", hear).pause();
      resolve();
    };
    socket.on("data", hear).on("close", () => resolve());
  });
  const [head = "", body = ""] = said.split(/\r\n\r\n(.*)/s);
  return { socket, status: head.split("\r\n")[0]!, body };
}
const tunnelTo = (place: string): Promise<Dialled> => dial(`CONNECT ${place} HTTP/1.1\r\nhost: ${place}\r\n\r\n`);

async function readAll(socket: Socket): Promise<string> {
  let said = "";
  socket.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  socket.resume();
  if (!socket.closed) await once(socket, "close");
  return said;
}

/** Notes of connections, without what names them. */
const notes = async () =>
  (await rig.frames())
    .filter(({ phase, facts }) => phase === "note" && facts.note === "egress")
    .map(({ n, facts: { state, class: kind, tier, allowed, sent, received } }) => ({
      n,
      state,
      class: kind,
      tier,
      allowed,
      ...(state === "closed" && { sent, received }),
    }));
const closedNotes = (k: number) =>
  until(async () => (await notes()).filter(({ state }) => state === "closed").length === k);

describe("CONNECT", () => {
  test("joins the two sides; the connection is noted before its first byte, and its bytes at its end", async () => {
    await start();
    const { socket, status } = await tunnelTo("gitlab.com:443");
    expect(status).toBe("HTTP/1.1 200 Connection established");
    expect(await notes()).toEqual([{ n: null, state: "open", class: "git", tier: "repeatable", allowed: true }]);
    socket.end("hello");
    expect(await readAll(socket)).toBe("hello");
    await closedNotes(1);
    expect((await notes()).at(-1)).toMatchObject({ state: "closed", sent: 5, received: 5 });
    // The name stands in no frame.
    expect(JSON.stringify(await rig.frames())).not.toContain("gitlab");
  });

  test("passes on what came with the request", async () => {
    await start();
    const { socket, body } = await dial("CONNECT github.com:443 HTTP/1.1\r\nhost: github.com\r\n\r\nearly");
    socket.end();
    expect(body + (await readAll(socket))).toBe("early");
  });

  test("is refused for other names in a sentence with the option, which the user hears once", async () => {
    await start();
    for (const _ of [1, 2, 3]) {
      const { socket, status, body } = await tunnelTo("example.com:443");
      expect(status).toBe("HTTP/1.1 403 Forbidden by Shepherd: example.com:443");
      expect(body).toContain("`shepherd run --allow-host example.com`");
      socket.destroy();
    }
    await (await tunnelTo("example.com:22")).socket.destroy();
    expect(refused).toEqual([
      expect.stringContaining("--allow-host example.com`"),
      expect.stringContaining("--allow-host example.com:22`"),
    ]);
    expect(await notes()).toEqual([
      { n: null, state: "refused", class: "other", tier: "irreversible", allowed: false },
      { n: null, state: "refused", class: "other", tier: "irreversible", allowed: false },
    ]);
  });

  test("that is refused for ever new names does not flood the user", async () => {
    await start();
    for (let k = 0; k < 60; k++) (await tunnelTo(`n${k}.example:443`)).socket.destroy();
    expect(refused.length).toBe(51);
    expect(refused.at(-1)).toContain("`shepherd show` has them");
  });

  test("that is refused for ever new names does not fill the log either", async () => {
    await start();
    const { signal } = new AbortController();
    for (let k = 0; k < 1010; k++)
      await expect(egress.to({ host: `n${k}.example`, port: 443 }, signal, async () => {})).rejects.toThrow("may not");
    expect((await notes()).length).toBe(1000);
  });

  test("is refused for all names where the run has only the gateway", async () => {
    await start({ network: "gateway" });
    expect((await tunnelTo("github.com:443")).body).toContain("`shepherd run --network proxy`");
  });

  test("to a name that leads into a network that is not public is refused, and so is an address of one", async () => {
    await start();
    const found = ["10.0.0.7", "169.254.169.254", "127.0.0.1"].map((address) => ({ address, family: 4 }));
    const reach = makeReach({ lookup: async () => found });
    const to = (host: string) =>
      reach({ host, port: 443 }, false, new AbortController().signal).catch((error: Unreachable) => [
        error.status,
        error.message,
      ]);
    expect(await to("github.com")).toEqual([
      403,
      expect.stringMatching(/leads to 10.0.0.7, .*--allow-host github.com`/),
    ]);
    expect(await to("10.0.0.7")).toEqual([403, expect.any(String)]);
    const nowhere = makeReach({ lookup: async () => Promise.reject(new Error("none")) });
    await expect(nowhere({ host: "a.b", port: 1 }, true, new AbortController().signal)).rejects.toMatchObject({
      status: 502,
    });
  });

  test("does not wait for names that are still looked up, nor for those behind them, once nobody does", async () => {
    await start();
    let looked = 0;
    const reach = makeReach({
      lookup: () => {
        looked++;
        return new Promise(() => {});
      },
    });
    const left = new AbortController();
    const all = [1, 2, 3].map((k) => reach({ host: `n${k}.example`, port: 1 }, true, left.signal));
    left.abort(new Error("gone"));
    for (const each of all) await expect(each).rejects.toThrow("gone");
    expect(looked).toBe(2);
  });

  test("to a server of this machine needs its name and port, and is irreversible", async () => {
    await start((port) => ({ hosts: [`127.0.0.1:${port}`] }));
    const port = portOf(outside);
    expect((await tunnelTo(`localhost:${port}`)).status).toContain("403");
    expect((await tunnelTo("127.0.0.1:443")).status).toContain("403");
    const { socket, status } = await tunnelTo(`127.0.0.1:${port}`);
    expect(status).toContain("200");
    socket.destroy();
    expect((await notes()).at(2)).toMatchObject({ tier: "irreversible", allowed: true });
  });

  test("to a closed port is a 502, and its note is closed", async () => {
    await start({ hosts: ["localhost:1"] });
    const { status, body } = await tunnelTo("localhost:1");
    expect([status, body]).toEqual(["HTTP/1.1 502 Bad Gateway", "localhost:1 refuses to connect (ECONNREFUSED).\n"]);
    await closedNotes(1);
  });

  test.each(["CONNECT nowhere HTTP/1.1", "CONNECT a/b:443 HTTP/1.1", "CONNECT u:p@github.com:443 HTTP/1.1"])(
    "%s is no place",
    async (line) => {
      await start();
      const { status, body } = await dial(`${line}\r\nhost: x\r\n\r\n`);
      expect([status, body]).toEqual(["HTTP/1.1 400 Bad Request", expect.stringContaining("CONNECT HOST:PORT")]);
    },
  );

  test("is nothing for other programs of this machine", async () => {
    await start();
    const port = Number(new URL(rig.gateway.urls.anthropic).port);
    expect((await dial("CONNECT github.com:443 HTTP/1.1\r\nhost: x\r\n\r\n", port)).status).toContain("403");
    expect((await dial("GET http://codeberg.org/ HTTP/1.1\r\nhost: codeberg.org\r\n\r\n", port)).status).toContain(
      "403",
    );
    expect(await notes()).toEqual([]);
  });
});

describe("both sides", () => {
  test("end for themselves: who has said all still hears", async () => {
    await start({}, (socket) => {
      let said = "";
      socket.on("data", (chunk: Buffer) => {
        said += chunk.toString();
      });
      socket.on("end", () => socket.end(`you said ${said}`));
    });
    const { socket } = await tunnelTo("github.com:443");
    socket.end("all");
    expect(await readAll(socket)).toBe("you said all");
    await closedNotes(1);
  });

  test("go when one breaks off, and when the run ends", async () => {
    await start({}, (socket) => void socket.resume().on("end", () => socket.end()));
    const first = await tunnelTo("github.com:443");
    await until(() => accepted.size === 2);
    first.socket.resetAndDestroy();
    await closedNotes(1);
    const second = await tunnelTo("github.com:443");
    second.socket.resume();
    await egress.close();
    if (!second.socket.readableEnded) await once(second.socket, "end");
    second.socket.end();
    await closedNotes(2);
    await until(() => accepted.size === 0);
  });

  test("wait for who reads slowly: nothing is lost, and little is kept", async () => {
    const size = 64 << 20;
    let written = 0;
    const chunk = Buffer.alloc(1 << 16, "x");
    await start({}, (socket) => {
      const more = (): void => {
        while (written < size) {
          written += chunk.length;
          if (!socket.write(chunk)) return void socket.once("drain", more);
        }
        socket.end();
      };
      more();
    });
    const { socket, body } = await tunnelTo("github.com:443");
    // It stands once all buffers between are full.
    let before = -1;
    await until(() => {
      const same = before === written;
      before = written;
      return same;
    });
    expect(written).toBeLessThan(size);
    let received = body.length;
    socket.on("data", (more: Buffer) => {
      received += more.length;
    });
    socket.on("end", () => socket.end()).resume();
    await once(socket, "close");
    expect(received).toBe(size);
  });

  test("many at once, some of which break off, leave nothing open", async () => {
    await start();
    const work = Array.from({ length: 60 }, async (_, k) => {
      const { socket, status } = await tunnelTo(k % 3 === 0 ? "example.com:443" : "codeberg.org:443");
      if (status.includes("403")) return socket.destroy();
      if (k % 2 === 0) return socket.resetAndDestroy();
      socket.end(`${k}`);
      expect(await readAll(socket)).toBe(`${k}`);
    });
    await Promise.all(work);
    await until(() => accepted.size === 0);
    await closedNotes(40);
  });

  test("of one sandbox are 512 at most; who leaves makes room", async () => {
    await start();
    const open = Array.from({ length: 512 }, () => connect(portOf(inside), "127.0.0.1"));
    await until(() => accepted.size === 512);
    await once(connect(portOf(inside), "127.0.0.1").resume(), "close");
    open[0]!.destroy();
    await until(() => accepted.size === 511);
    expect((await tunnelTo("codeberg.org:443")).status).toContain("200");
    for (const each of open) each.destroy();
  });

  test("garbage is answered or cut, and the gateway goes on", async () => {
    await start();
    for (const garbage of [
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
      "nonsense\r\n\r\n",
      "GET http:// HTTP/1.1\r\n\r\n",
    ])
      expect((await dial(garbage)).status).toMatch(/^HTTP\/1.1 400|^$/);
    expect((await tunnelTo("codeberg.org:443")).status).toContain("200");
  });
});

describe("plain requests", () => {
  const http = (handle: Parameters<typeof createHttpServer>[1]) => {
    const server = createHttpServer(handle);
    return (socket: Socket): void => void server.emit("connection", socket);
  };
  interface Said {
    status: number;
    body: string;
    headers: { [name: string]: unknown };
  }
  const ask = (url: string, { method = "GET", body = "", headers = {} } = {}): Promise<Said> =>
    new Promise((resolve, reject) => {
      const asked = httpRequest({ host: "127.0.0.1", port: portOf(inside), method, path: url, headers });
      asked.on("error", reject);
      asked.on("response", async (response) => {
        let said = "";
        try {
          for await (const chunk of response) said += chunk;
        } catch (error) {
          return reject(error);
        }
        resolve({ status: response.statusCode!, body: said, headers: response.headers });
      });
      asked.end(body || undefined);
    });

  test("reach the place that they name, without what belongs to the way there", async () => {
    await start(
      {},
      http((request, response) => {
        const chunks: Buffer[] = [];
        request.on("data", (chunk: Buffer) => chunks.push(chunk));
        request.on("end", () => {
          response.writeHead(201, { "x-own": "1", connection: "close" });
          const { url, method, headers } = request;
          response.end(JSON.stringify({ url, method, headers, body: Buffer.concat(chunks).toString() }));
        });
      }),
    );
    const headers = { host: "elsewhere.example", "proxy-authorization": "Basic eA==", "accept-encoding": "gzip" };
    const {
      status,
      body,
      headers: back,
    } = await ask("http://CodeBerg.org/simple/?q=1", { method: "POST", body: "hi", headers });
    const told = JSON.parse(body);
    expect([status, back["x-own"]]).toEqual([201, "1"]);
    expect(told).toMatchObject({ url: "/simple/?q=1", method: "POST", body: "hi" });
    expect(told.headers).toMatchObject({ host: "codeberg.org", "accept-encoding": "gzip" });
    expect(told.headers).not.toHaveProperty("proxy-authorization");
    await closedNotes(1);
    const [opened, closed] = await notes();
    expect(opened).toMatchObject({ state: "open", class: "git" });
    expect(closed!.sent).toBeGreaterThan(0);
    expect(closed!.received).toBeGreaterThan(0);
  });

  test("keep the end of their body, also where it is a chunk or hidden among the headers of a connection", async () => {
    const seen: string[] = [];
    await start(
      {},
      http((request, response) => {
        let body = "";
        request.on("data", (chunk: Buffer) => {
          body += chunk.toString();
        });
        request.on("end", () => {
          seen.push(`${request.method} ${request.url} ${body}`);
          response.end();
        });
      }),
    );
    const hidden = "GET /other HTTP/1.1\r\nhost: x\r\n\r\n";
    const size = hidden.length;
    for (const framed of [
      `transfer-encoding: chunked\r\n\r\n${size.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`,
      `connection: content-length\r\ncontent-length: ${size}\r\n\r\n${hidden}`,
    ]) {
      const { socket, status } = await dial(`DELETE http://codeberg.org/a HTTP/1.1\r\nhost: x\r\n${framed}`);
      socket.destroy();
      expect(status).toContain("200");
    }
    expect(seen).toEqual([`DELETE /a ${hidden}`, `DELETE /a ${hidden}`]);
  });

  test("are refused by the same rule, and told what is wrong with them", async () => {
    await start();
    expect(await ask("http://example.com/")).toMatchObject({
      status: 403,
      body: expect.stringContaining("--allow-host"),
    });
    expect(await ask("ftp://codeberg.org/")).toMatchObject({ status: 400 });
    expect(await ask("https://codeberg.org/")).toMatchObject({ status: 400, body: expect.stringContaining("CONNECT") });
  });

  test("that name the gateway itself are for it", async () => {
    await start();
    const here = `http://127.0.0.1:${portOf(inside)}`;
    expect((await ask(`${here}/shepherd/anthropic/v1/models`)).status).toBe(200);
    expect((await ask(`${here}/other/anthropic/v1/models`)).status).toBe(404);
    expect(rig.provider.asked.map(({ url }) => url)).toEqual(["/v1/models"]);
    expect(await notes()).toEqual([]);
  });

  test.each(["099 x", "000 x", "200 O\x01K"])(
    "whose answer is no HTTP, %j, are told so, and the gateway goes on",
    async (status) => {
      await start({}, (socket) => void socket.once("data", () => socket.end(`HTTP/1.1 ${status}\r\n\r\n`)));
      const said = { status: 502, body: expect.stringContaining("codeberg.org:80 gave no answer") };
      for (const _ of [1, 2]) expect(await ask("http://codeberg.org/")).toMatchObject(said);
      await closedNotes(2);
    },
  );

  const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
  test("that are answered with another protocol are over, also for the run that ends", async () => {
    await start({}, (socket) => void socket.once("data", () => socket.write(SWITCH)));
    expect((await ask("http://codeberg.org/")).status).toBe(502);
    await egress.close();
    await closedNotes(1);
  });

  test("go with the client that sent them at once, and with the run, also behind one without an answer", async () => {
    const hello = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello";
    await start({}, (socket) => void socket.once("data", (asked) => /\/1 /.test(`${asked}`) || socket.end(hello)));
    const put = (k: number): string =>
      `PUT http://codeberg.org/${k} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi`;
    const opened = async (k: number): Promise<boolean> =>
      (await notes()).filter(({ state }) => state === "open").length === k;
    for (const leaves of [true, false]) {
      const socket = connect(portOf(inside), "127.0.0.1").on("error", () => {});
      socket.write(put(1) + put(2) + put(1));
      await until(() => opened(leaves ? 3 : 6));
      if (leaves) socket.destroy();
      else await egress.close();
      await closedNotes(leaves ? 3 : 6);
    }
  });

  test("whose answer breaks off break off too", async () => {
    await start({}, (socket) => {
      socket.once("data", () => {
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
        setImmediate(() => socket.resetAndDestroy());
      });
    });
    await expect(ask("http://codeberg.org/")).rejects.toThrow();
    await closedNotes(1);
  });
});

describe("what is done outside belongs", () => {
  const tiers = (n: number): Tier | undefined => egress.observed(n);
  const intents = async (k: number): Promise<number[]> => {
    const made: number[] = [];
    for (let i = 0; i < k; i++) made.push(await rig.scope.writer.intent({ kind: "tool", tier: "reversible" }));
    return made;
  };

  test("to the calls that run when it begins, and to those during which something is sent on", async () => {
    await start({ hosts: ["example.com"] });
    const [a, b, c, d] = (await intents(4)) as [number, number, number, number];
    calls = [a, b];
    const { socket } = await tunnelTo("example.com:443");
    expect([tiers(a), tiers(b)]).toEqual(["irreversible", "irreversible"]);
    calls = [c];
    expect(tiers(c)).toBe(undefined);
    socket.write("more");
    await once(socket.resume(), "data");
    expect(tiers(c)).toBe("irreversible");
    calls = [d];
    const other = await tunnelTo("codeberg.org:443");
    expect(tiers(d)).toBe("repeatable");
    for (const each of [socket, other.socket]) each.end();
    await closedNotes(2);
    const of = (n: number) => egressOf(rig.scope.store, rig.scope.ref.log, rig.scope.writer.fold.steps.get(n)!);
    const reached = { place: "example.com:443", class: "other", tier: "irreversible", allowed: true, connections: 1 };
    for (const n of [a, b, c]) expect(await of(n)).toEqual([{ ...reached, sent: 4, received: 4 }]);
    expect(await of(d)).toMatchObject([{ place: "codeberg.org:443", tier: "repeatable" }]);
  });

  test("to the next call that ends, if none runs; or else to a step of its own", async () => {
    await start({ hosts: ["example.com"] });
    const [a] = (await intents(1)) as [number];
    (await tunnelTo("example.com:443")).socket.end();
    await closedNotes(1);
    expect(tiers(a)).toBe("irreversible");
    expect(tiers(a)).toBe(undefined);
    await rig.scope.writer.outcome(a, { status: "done" });
    (await tunnelTo("example.com:443")).socket.end();
    await closedNotes(2);
    await egress.close();
    expect(rig.steps("work").map(({ outcome }) => outcome)).toEqual([
      { status: "done", tier: "irreversible", egress: true },
    ]);
  });

  test("to a call in doubt, if the process ends in its midst", async () => {
    await start({ hosts: ["example.com"] });
    const [a, b] = (await intents(2)) as [number, number];
    calls = [a];
    await tunnelTo("codeberg.org:443");
    const of = (n: number) => {
      const { allowed, observed } = rig.scope.writer.fold.steps.get(n)!;
      return [allowed, observed];
    };
    expect(of(a)).toEqual([false, undefined]);
    calls = [a, b];
    await tunnelTo("example.com:443");
    expect([of(a), of(b)]).toEqual([
      [true, "irreversible"],
      [true, "irreversible"],
    ]);
  });
});
