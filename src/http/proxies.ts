/**
 * Who the client is. The proxies that the configuration names add the client's address and its TLS certificate to a request
 * as headers; anyone else can write the same headers, and then they count for nothing.
 */
import type { IncomingMessage } from "node:http";
import { BlockList, isIP } from "node:net";
import type { ServerConfig } from "../config/config.js";
import { GatewayError } from "../errors.js";
import { parseAddress } from "./addresses.js";

/** The client's certificate in DER, if it has shown one. */
export type ClientCertificate = Buffer | undefined;

export class Proxies {
  readonly #config: ServerConfig["proxies"];
  readonly #named: BlockList;

  constructor(config: ServerConfig["proxies"]) {
    this.#config = config;
    this.#named = listOf(config.addresses);
  }

  /**
   * The nearest address that is not a named proxy's: the connection's, or else the last of those that the header lists,
   * since each proxy adds the one before it at the end. What stands before a malformed entry is not believed.
   */
  clientAddress(request: IncomingMessage): string {
    let client = request.socket.remoteAddress ?? "unknown";
    const { clientAddressHeader: name } = this.#config;
    if (name === null || !this.#isNamed(client)) return client;
    const hops = linesOf(request, name).join(",").split(",").reverse();
    const read = name === "forwarded" ? forwardedFor : (hop: string) => hop;
    for (const hop of hops) {
      const address = parseAddress(read(hop.trim()));
      if (address === undefined) return client;
      client = address;
      if (!this.#isNamed(client)) return client;
    }
    return client;
  }

  /** Throws BAD_REQUEST unless a named proxy has sent one byte sequence (RFC 9440 §2.2), an empty one, or none. */
  clientCertificate(request: IncomingMessage): ClientCertificate {
    const { clientCertificateHeader: name } = this.#config;
    if (name === null || !this.#isNamed(request.socket.remoteAddress ?? "")) return undefined;
    const [line, ...more] = linesOf(request, name);
    // Some proxies write the header always, and nothing into it.
    if (line === undefined || (more.length === 0 && NO_CERTIFICATE.test(line))) return undefined;
    const base64 = /^:([A-Za-z0-9+/]+={0,2}):$/.exec(line.trim())?.[1] ?? "";
    const der = Buffer.from(base64, "base64");
    if (more.length > 0 || der.length === 0 || der.toString("base64") !== base64) {
      throw new GatewayError("BAD_REQUEST", `The header ${name} is not one certificate (RFC 9440).`);
    }
    return der;
  }

  #isNamed(address: string): boolean {
    const version = isIP(address);
    return version !== 0 && this.#named.check(address.replace(/%.*$/, ""), version === 6 ? "ipv6" : "ipv4");
  }
}

/** An IPv4 range holds the same addresses written as IPv6 (::ffff:10.0.0.1), too. */
function listOf(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = "", bits] = range.split("/");
    const version = isIP(address) === 6 ? "ipv6" : "ipv4";
    if (bits === undefined) list.addAddress(address, version);
    else list.addSubnet(address, Number(bits), version);
  }
  return list;
}

/** In the order in which they came, none left out: `headers` keeps the first of some. */
function linesOf({ headersDistinct }: IncomingMessage, name: string): readonly string[] {
  return headersDistinct[name] ?? [];
}

const NO_CERTIFICATE = /^\s*(::)?\s*$/;

/** `name=value` or `name="value"` (RFC 7239 §4). No address needs an escape, a comma or a semicolon in its quotes. */
const PAIR = /^([\w-]+)=(?:"([^"\\]*)"|([^\s"]+))$/;

/** The `for` of one element of `Forwarded`; an empty text when the element is not understood. */
function forwardedFor(element: string): string {
  const pairs = element.split(";").map((pair) => PAIR.exec(pair.trim()));
  const [only, ...more] = pairs.filter((pair) => pair === null || pair[1]?.toLowerCase() === "for");
  return more.length === 0 ? (only?.[2] ?? only?.[3] ?? "") : "";
}
