/** Requests of ours to others; those to the service itself are made by Microsoft's client. */
import { type IncomingMessage, type OutgoingHttpHeaders, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { connect } from "node:tls";

export interface HttpProxy {
  /** Of an HTTP proxy, with the name and the password that it wants. */
  readonly url: URL;
  /** Hosts to which requests go directly, in small letters; one that begins with a dot is the host behind it and all below. */
  readonly exempt: readonly string[];
}

let inUse: HttpProxy | undefined;

/** For the whole process: by which proxy https requests leave from now on. */
export function leaveBy(proxy: HttpProxy | undefined): void {
  inUse = proxy;
}

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
export async function ask(address: string, { method, headers, body }: Asked, signal: AbortSignal) {
  const url = new URL(address);
  const tunnel = await openTunnel(url, signal);
  // A connection of its own: it is a rare call, and one kept alive may be dead by then.
  const way = tunnel ? { createConnection: () => tunnel } : { agent: false };
  return await new Promise<IncomingMessage>((resolve, reject) => {
    const sent = requestBy(url)(url, { method, headers, signal, ...way }, resolve);
    sent.on("error", reject);
    // Such as when it changes the protocol, which nobody asked for: the connection ends, and that is no error.
    sent.on("close", () => reject(new Error("whoever is there gave no answer that can be read")));
    sent.end(body);
  });
}

function requestBy({ protocol }: URL): typeof requestHttps {
  return protocol === "https:" ? requestHttps : requestHttp;
}

/**
 * Through the proxy, if there is one to be used (RFC 9110 §9.3.6). By hand: what Node has for it (24.21) waits for a silent proxy
 * beyond any deadline, and lets an error of a proxy that has refused end the process.
 */
async function openTunnel(url: URL, signal: AbortSignal): Promise<Duplex | undefined> {
  if (inUse === undefined || url.protocol !== "https:" || isExempt(url.hostname, inUse.exempt)) return undefined;
  const { url: proxy } = inUse;
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const path = `${url.hostname}:${url.port || "443"}`;
  const headers = { host: path, ...authorizationOf(proxy) };
  const address = { protocol: proxy.protocol, host: proxy.hostname.replace(/^\[|\]$/g, ""), port: proxy.port };
  const socket = await new Promise<Duplex>((resolve, reject) => {
    const sent = requestBy(proxy)({ ...address, method: "CONNECT", path, headers, agent: false, signal });
    sent.on("error", reject);
    sent.on("close", () => reject(new Error("the proxy gave no answer that can be read")));
    sent.on("connect", ({ statusCode }, connected, head) => {
      // Whoever has it then hears of it, too.
      connected.on("error", () => {});
      if (statusCode !== undefined && statusCode >= 200 && statusCode < 300) {
        connected.unshift(head);
        return resolve(connected);
      }
      connected.destroy();
      reject(new Error(`the proxy answered ${statusCode}`));
    });
    sent.end();
  });
  return connect({ socket, host, ...(isIP(host) === 0 && { servername: host }) });
}

/** RFC 7617 */
function authorizationOf({ username, password }: URL): OutgoingHttpHeaders {
  if (username === "" && password === "") return {};
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { "proxy-authorization": `Basic ${Buffer.from(credentials).toString("base64")}` };
}

function isExempt(host: string, exempt: readonly string[]): boolean {
  return exempt.some((entry) => host === entry || (entry.startsWith(".") && `.${host}`.endsWith(entry)));
}
