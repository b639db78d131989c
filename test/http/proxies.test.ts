import { createServer, request as httpRequest, type OutgoingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { GatewayError } from "../../src/errors.js";
import { networkOf } from "../../src/http/addresses.js";
import { Proxies } from "../../src/http/proxies.js";

interface Seen {
  readonly address: string;
  readonly certificate: string | null;
  readonly refusal: string | null;
}

let server: Server | undefined;
afterEach(async () => {
  await new Promise((resolve) => server?.close(resolve) ?? resolve(undefined));
  server = undefined;
});

type ProxiesConfig = ConstructorParameters<typeof Proxies>[0];

/** What is taken for the client when this request comes from 127.0.0.1. */
async function see(config: ProxiesConfig, headers: OutgoingHttpHeaders): Promise<Seen> {
  const proxies = new Proxies(config);
  server = createServer((request, response) => {
    const address = proxies.clientAddress(request);
    try {
      const certificate = proxies.clientCertificate(request)?.toString("latin1") ?? null;
      response.end(JSON.stringify({ address, certificate, refusal: null }));
    } catch (error) {
      const refusal = error instanceof GatewayError ? error.code : String(error);
      response.end(JSON.stringify({ address, certificate: null, refusal }));
    }
  });
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const body = await new Promise<string>((resolve, reject) => {
    httpRequest({ port, host: "127.0.0.1", headers, agent: false }, (response) => resolve(text(response)))
      .on("error", reject)
      .end();
  });
  return JSON.parse(body) as Seen;
}

const NEAR = ["127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48"];
const behind = (header: string | null, addresses: readonly string[] = NEAR): ProxiesConfig => ({
  addresses,
  clientAddressHeader: header,
  clientCertificateHeader: "client-cert",
});

describe("the client's address", () => {
  it.each([
    ["the client that the proxy saw", "192.0.2.7", "192.0.2.7"],
    ["the last that is no named proxy's", "203.0.113.9, 192.0.2.7, 10.1.2.3", "192.0.2.7"],
    ["what a client wrote itself is left out", "1.1.1.1, 192.0.2.7", "192.0.2.7"],
    ["with a port", "192.0.2.7:5678", "192.0.2.7"],
    ["IPv6", "2001:db8:2::7", "2001:db8:2::7"],
    ["IPv6 in brackets", "[2001:db8:2::7]", "2001:db8:2::7"],
    ["IPv6 with a port", "[2001:db8:2::7]:5678", "2001:db8:2::7"],
    ["IPv6 of eight groups", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
    ["behind a proxy with IPv6", "192.0.2.7, 2001:DB8:1:0::1", "192.0.2.7"],
    ["behind a proxy whose IPv4 is written as IPv6", "192.0.2.7, ::ffff:10.0.0.1", "192.0.2.7"],
    ["all are proxies", "10.0.0.2, 10.0.0.1", "10.0.0.2"],
    ["white space around", "  192.0.2.7\t,\t10.0.0.1 ", "192.0.2.7"],
  ])("is read from the header: %s", async (_, header, address) => {
    expect(await see(behind("x-forwarded-for"), { "x-forwarded-for": header })).toMatchObject({ address });
  });

  it.each([
    ["nothing", ""],
    ["an empty entry", "192.0.2.7,"],
    ["a name", "client.example.com"],
    ["unknown", "unknown"],
    ["a number too large", "192.0.2.777"],
    ["leading zeros", "192.000.002.007"],
    ["three numbers", "192.0.2"],
    ["a port that is none", "192.0.2.7:abcdef"],
    ["two ports", "192.0.2.7:1:2"],
    ["an open bracket", "[2001:db8:2::7"],
    ["IPv4 in brackets", "[192.0.2.7]"],
    ["a zone", "fe80::1%eth0"],
    ["two addresses without a comma", "192.0.2.7 192.0.2.8"],
    ["a quoted address", '"192.0.2.7"'],
  ])("is the proxy's own when the header has %s, whatever stands before it", async (_, entry) => {
    const header = { "x-forwarded-for": `1.1.1.1, ${entry}` };
    expect(await see(behind("x-forwarded-for"), header)).toMatchObject({ address: "127.0.0.1" });
  });

  it("is the last good hop's when what stands before it is malformed", async () => {
    const header = { "x-forwarded-for": "1.1.1.1, who knows, 10.0.0.1" };
    expect(await see(behind("x-forwarded-for"), header)).toMatchObject({ address: "10.0.0.1" });
  });

  it("is read from all lines of the header, in their order", async () => {
    const header = { "x-forwarded-for": ["1.1.1.1", "192.0.2.7", "10.0.0.1, 10.0.0.2"] };
    expect(await see(behind("x-forwarded-for"), header)).toMatchObject({ address: "192.0.2.7" });
    // Of most headers Node keeps the first line, or joins them; of this one the last must count, too.
    const other = { "x-real-ip": ["1.1.1.1", "192.0.2.7"] };
    expect(await see(behind("x-real-ip"), other)).toMatchObject({ address: "192.0.2.7" });
  });

  it.each([
    ["there is no header", behind("x-forwarded-for"), {}],
    ["no header is named", behind(null), { "x-forwarded-for": "192.0.2.7" }],
    ["another header is named", behind("x-forwarded-for"), { forwarded: "for=192.0.2.7", "x-real-ip": "192.0.2.7" }],
    ["it is no named proxy", behind("x-forwarded-for", ["10.0.0.0/8"]), { "x-forwarded-for": "192.0.2.7" }],
    ["no proxy is named", behind("x-forwarded-for", []), { "x-forwarded-for": "192.0.2.7, 10.0.0.1" }],
  ])("is the connection's when %s", async (_, config, headers) => {
    expect(await see(config, headers)).toMatchObject({ address: "127.0.0.1" });
  });

  it.each([
    ["for=192.0.2.7", "192.0.2.7"],
    ["For=192.0.2.7;Proto=https;By=10.0.0.1", "192.0.2.7"],
    ['proto=https ; for="192.0.2.7:5678"', "192.0.2.7"],
    ['for="[2001:db8:2::7]:5678"', "2001:db8:2::7"],
    ['for=1.1.1.1, for="[2001:db8:2::7]";proto=https, for=10.0.0.1', "2001:db8:2::7"],
    ['for=", for=192.0.2.7', "192.0.2.7"],
  ])("is read from Forwarded (RFC 7239): %s", async (header, address) => {
    expect(await see(behind("forwarded"), { forwarded: header })).toMatchObject({ address });
  });

  it.each([
    "proto=https",
    "for=unknown",
    "for=_hidden",
    "for=192.0.2.7;for=192.0.2.8",
    "for=192.0.2.7;",
    "for=192.0.2.7;proto",
    'for="192.0.2.7',
    'for="192.0.2.7";host="a,b"',
    "for =192.0.2.7",
    "192.0.2.7",
    "for=192.0.2.7;;proto=https",
    'for="192.0.2.\\7"',
  ])("is the proxy's own with the malformed Forwarded %s", async (header) => {
    const forwarded = `for=1.1.1.1, ${header}`;
    expect(await see(behind("forwarded"), { forwarded })).toMatchObject({ address: "127.0.0.1" });
  });
});

describe("the network that a client is taken to have", () => {
  it.each([
    ["192.0.2.7", "192.0.2.7"],
    ["::ffff:192.0.2.7", "192.0.2.7"],
    ["::FFFF:c000:207", "192.0.2.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:DB8:1:2::9", "2001:db8:1:2::/64"],
    ["2001:db8::9", "2001:db8:0:0::/64"],
    ["64:ff9b::192.0.2.7", "64:ff9b:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["::", "0:0:0:0::/64"],
    ["unknown", "unknown"],
  ])("of %s is %s", (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});

describe("the client's certificate", () => {
  const certificate = "\u0030\u0082\u0001der";
  const header = `:${Buffer.from(certificate, "latin1").toString("base64")}:`;

  it("is what a named proxy has put into the header (RFC 9440 §2.2)", async () => {
    expect(await see(behind(null), { "client-cert": header })).toMatchObject({ certificate, refusal: null });
    expect(await see(behind(null), { "client-cert": ` ${header} ` })).toMatchObject({ certificate, refusal: null });
  });

  it.each([
    ["there is no header", behind(null), {}],
    ["the header has nothing", behind(null), { "client-cert": "" }],
    ["the header has no bytes", behind(null), { "client-cert": " :: " }],
    ["it comes from anyone else", behind(null, ["10.0.0.0/8"]), { "client-cert": header }],
    ["it comes from anyone else, malformed", behind(null, []), { "client-cert": "?" }],
    ["no header is named", { ...behind(null), clientCertificateHeader: null }, { "client-cert": header }],
  ])("is none when %s", async (_, config, headers) => {
    expect(await see(config, headers)).toMatchObject({ certificate: null, refusal: null });
  });

  it.each([
    ["no colons", header.slice(1, -1)],
    ["PEM", "-----BEGIN CERTIFICATE-----"],
    ["another alphabet", ":-_8=:"],
    ["no padding", ":MA:"],
    ["trailing bits that are set", ":MB==:"],
    ["white space within", ":MI IB:"],
    ["a parameter", `${header};a=1`],
    ["two values", `${header}, ${header}`],
    ["two lines", [header, header]],
    ["an empty line beside it", [header, ""]],
    ["a text", '"MIIB"'],
  ])("is refused when a named proxy's header has %s", async (_, value) => {
    expect(await see(behind(null), { "client-cert": value })).toMatchObject({ refusal: "BAD_REQUEST" });
  });
});
