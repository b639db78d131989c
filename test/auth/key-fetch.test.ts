import { generateKeyPairSync } from "node:crypto";
import type { AddressInfo } from "node:net";
import { createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { IssuerKeys } from "../../src/auth/issuer-keys.js";
import { discoverJwksUri, type FetchedKeys, fetchKeys } from "../../src/auth/key-fetch.js";
import type { PublicKey } from "../../src/auth/public-key.js";
import { publish } from "../fixtures/issuer.js";

const JWK = publish(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey);
const soon = () => AbortSignal.timeout(3000);
const answer = (body: string) => `HTTP/1.1 200 OK\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

let server: Server | undefined;
afterEach(() => {
  server?.close();
});

/** Answers each connection with the text that this makes of the server's host and port, whatever is asked; resolves to them. */
async function serve(text: (host: string) => string): Promise<string> {
  const own = createServer((socket: Socket) => {
    socket.on("error", () => socket.destroy());
    socket.once("data", () => socket.write(text(host())));
  });
  const host = () => `127.0.0.1:${(own.address() as AddressInfo).port}`;
  server = own;
  await new Promise<void>((resolve) => own.listen(0, "127.0.0.1", resolve));
  return host();
}

describe("the keys of an issuer", () => {
  it("are fetched by TLS from an address that says so, and by nothing less", async () => {
    const address = await serve(() => answer(JSON.stringify({ keys: [JWK] })));
    await expect(fetchKeys(`http://${address}`, [], soon())).resolves.toMatchObject({ unusable: [] });
    await expect(fetchKeys(`https://${address}`, [], soon())).rejects.toThrow();
  });

  it("are not there when something but a key fails", async () => {
    const address = await serve(() => answer(JSON.stringify({ keys: [JWK] })));
    const broken = {
      get thumbprint(): string {
        throw new RangeError("broken");
      },
    } as PublicKey;
    await expect(fetchKeys(`http://${address}`, [broken], soon())).rejects.toThrow(RangeError);
  });

  it("are nowhere when the metadata does not say so", async () => {
    for (const metadata of [{}, { jwks_uri: 1 }, { jwks_uri: "keys" }, { jwks_uri: "http://a.example.com/" }]) {
      server?.close();
      // Whatever the issuer is called, it names itself.
      const issuer = `http://${await serve((host) => answer(JSON.stringify({ ...metadata, issuer: `http://${host}` })))}`;
      await expect(discoverJwksUri(issuer, soon())).rejects.toThrow(/has no usable jwks_uri$/);
    }
  });

  it("are where the configuration says, without a look at the issuer's metadata", async () => {
    const address = await serve(() => answer(JSON.stringify({ keys: [JWK, {}] })));
    const config = {
      issuer: "http://127.0.0.1:1",
      jwksUri: `http://${address}`,
      keyMaxAgeSeconds: 300,
      keyStaleSeconds: 3600,
    };
    const seen: [string, FetchedKeys | Error][] = [];
    const keys = new IssuerKeys(
      config,
      () => 0,
      (...told) => seen.push(told),
    );
    expect(await keys.find("ES256", "test")).toMatchObject({ kid: "test", alg: "ES256" });
    expect(seen).toMatchObject([
      ["http://127.0.0.1:1", { usable: [{ kid: "test" }], unusable: ["a member of the wrong type"] }],
    ]);
  });

  it("serve on when whoever is told of them fails, and that is told as an error", async () => {
    const address = await serve(() => answer(JSON.stringify({ keys: [JWK] })));
    const config = { issuer: "i", jwksUri: `http://${address}`, keyMaxAgeSeconds: 300, keyStaleSeconds: 3600 };
    const told: (FetchedKeys | Error)[] = [];
    const observe = (_: string, outcome: FetchedKeys | Error): void => {
      told.push(outcome);
      if (told.length === 1) throw "not an error";
    };
    expect(await new IssuerKeys(config, () => 0, observe).find("ES256", "test")).toMatchObject({ kid: "test" });
    expect(told).toMatchObject([{ unusable: [] }, { message: "the fetch failed" }]);
  });
});
