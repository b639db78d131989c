/** Requests of ours to others; those to the service itself are made by Microsoft's client. */
import { type IncomingMessage, type OutgoingHttpHeaders, type ProxyEnv, request as requestHttp } from "node:http";
import { globalAgent, request as requestHttps } from "node:https";

interface Asked {
  readonly method?: "GET" | "HEAD" | "POST";
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string;
}

/**
 * The answer, as it begins, of whoever is at an address. A redirect is one: it may lead where nobody has looked. Rejects when there
 * is none by the deadline; no error of its own names the address, which may hold a key. Not by `fetch`: an answer with too many
 * content codings leaves it with an error that nobody can catch, and the process with it (undici 7.29).
 */
export function ask(address: string, { method = "GET", headers, body }: Asked, signal: AbortSignal) {
  const request = address.startsWith("https:") ? requestHttps : requestHttp;
  return new Promise<IncomingMessage>((resolve, reject) => {
    // A connection of its own: it is a rare call, and one kept alive may be dead by then.
    const sent = request(address, { method, headers: { ...headers, connection: "close" }, signal }, resolve);
    sent.on("error", reject);
    // Such as when it changes the protocol, which nobody asked for: the connection ends, and that is no error.
    sent.on("close", () => reject(new Error("whoever is there gave no answer that can be read")));
    sent.end(body);
  });
}

/** By which proxy all requests go; for whoever has connections of their own. */
export function proxyInUse(): ProxyEnv | undefined {
  return globalAgent.options.proxyEnv;
}
