import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { Server as NetServer } from "node:net";
import { StartError } from "../errors.js";
import { type Answer, json, send } from "./answer.js";

export type Handler = (request: IncomingMessage, requestId: string) => Promise<Answer>;

/** By path, without the query. */
export type Routes = ReadonlyMap<string, Handler>;

interface ListenOptions {
  readonly host: string;
  readonly port: number;
  /** How an operator changes the port, such as `PORT`. */
  readonly portVariable: string;
  readonly routes: Routes;
  /** For what a handler throws, which none is supposed to. */
  readonly onFailure: (requestId: string, error: unknown) => void;
}

export interface Listener {
  /** Such as http://127.0.0.1:4000, without a slash at the end. */
  readonly url: string;
  /** Takes no new connections; resolves when the requests under way are answered, or cut off after 8 s. */
  close(): Promise<void>;
}

/** How long a connection that is kept alive may take to bring its last request, whose answer closes it. */
const IDLE_GRACE_MS = 500;
/** Leaves time, of the 10 s in which everything has to be closed, for what closes after. */
const GRACE_MS = 8000;

/** Throws a `StartError` when the port cannot be had. */
export async function listen(options: ListenOptions): Promise<Listener> {
  let closing = false;
  let underWay = 0;
  const server = createServer(async (request, response) => {
    const requestId = readRequestId(request);
    underWay += 1;
    response.once("close", () => {
      underWay -= 1;
    });
    try {
      const answer = await route(options.routes, request, requestId);
      if (closing) response.setHeader("connection", "close");
      send(response, requestId, answer);
    } catch (error) {
      options.onFailure(requestId, error);
      send(response, requestId, json(500, { error: "Something went wrong on our side." }));
    }
  });
  await bind(server, options);
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : options.port;
  const host = options.host.includes(":") ? `[${options.host}]` : options.host;
  return {
    url: `http://${host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        closing = true;
        const part = setInterval(() => underWay === 0 && server.closeAllConnections(), IDLE_GRACE_MS);
        const cut = setTimeout(() => server.closeAllConnections(), GRACE_MS);
        // The HTTP server's own close would cut idle connections at once, and with them a request just on its way.
        NetServer.prototype.close.call(server, () => {
          clearInterval(part);
          clearTimeout(cut);
          resolve();
        });
      }),
  };
}

async function route(routes: Routes, request: IncomingMessage, requestId: string): Promise<Answer> {
  const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
  const handler = routes.get(path);
  if (handler === undefined)
    return json(404, { error: `There is nothing at this path. Try ${[...routes.keys()].join(", ")}.` });
  return await handler(request, requestId);
}

async function bind(server: Server, { host, port, portVariable }: ListenOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "EADDRINUSE" ? "is in use" : `cannot be listened on (${error.code ?? error.message})`;
      const cure = `end the program that has it, or choose another with ${portVariable}=…`;
      reject(new StartError(`Port ${port} of ${host} ${why}: ${cure}.`, { cause: error }));
    });
    server.listen(port, host, resolve);
  });
}

/** The caller's `x-request-id` where it is harmless to repeat in a log, else a new one. */
function readRequestId(request: IncomingMessage): string {
  const given = request.headers["x-request-id"];
  return typeof given === "string" && /^[A-Za-z0-9._-]{1,128}$/.test(given) ? given : randomUUID();
}
