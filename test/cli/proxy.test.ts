import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, connect } from "node:net";
import { createServer, type Server } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Collector } from "../fixtures/collector.js";
import { ForwardProxy, PROXY_PASSWORD } from "../fixtures/forward-proxy.js";
import { Operator } from "../fixtures/operator.js";

/** Found nowhere but by the proxy. */
const SERVICE = "acs.example.test";
const ISSUER = "login.example.test";
const COLLECTOR = "collector.example.test:4318";

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
const WHY_SKIPPED = hasOpenssl ? "" : " (skipped: there is no openssl to make a certificate with)";

let operator: Operator;
let collector: Collector;
beforeAll(async () => {
  operator = await Operator.start("sqlite");
  collector = await Collector.start();
});
afterAll(async () => {
  await collector.close();
  await operator.close();
});

/** `openssl`'s, for both names. */
function makeCertificate(): { readonly file: string; readonly key: Buffer; readonly cert: Buffer } {
  const [key, file] = [operator.path("key.pem"), operator.path("certificate.pem")];
  const names = `subjectAltName=DNS:${SERVICE},DNS:${ISSUER}`;
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  execFileSync("openssl", ["req", ...kind, "-keyout", key, "-out", file, "-subj", "/CN=test", "-addext", names], {
    stdio: "ignore",
  });
  return { file, key: readFileSync(key), cert: readFileSync(file) };
}

/** TLS in front of what has none. Answers its port. */
async function front(url: string, server: Server): Promise<number> {
  server.on("secureConnection", (near) => {
    const far = connect(Number(new URL(url).port), "127.0.0.1");
    far.on("error", () => near.destroy());
    near.on("error", () => far.destroy());
    near.pipe(far).pipe(near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

describe(`a gateway that only a proxy connects to the world${WHY_SKIPPED}`, () => {
  it.skipIf(!hasOpenssl)(
    "reaches issuer and service by it, Microsoft's client as its own requests",
    async () => {
      const { file, ...certificate } = makeCertificate();
      const servers = [createServer(certificate), createServer(certificate)] as const;
      const proxy = await ForwardProxy.start({
        [`${SERVICE}:443`]: await front(operator.emulator.endpoint, servers[0]),
        [`${ISSUER}:443`]: await front(operator.issuer.url, servers[1]),
      });
      const metadata = { issuer: `https://${ISSUER}`, jwks_uri: `https://${ISSUER}/jwks`, keys: operator.issuer.keys };
      operator.issuer.outage = { body: JSON.stringify(metadata), headers: { date: new Date().toUTCString() } };
      const { code, stdout, stderr } = await operator.run(["doctor"], {
        ACS_CONNECTION_STRING: operator.emulator.connectionString.replace(/http:\/\/[^;]+/, `https://${SERVICE}/`),
        OIDC_ISSUER: `https://${ISSUER}`,
        NODE_EXTRA_CA_CERTS: file,
        https_proxy: proxy.url,
      });
      operator.issuer.outage = undefined;
      await proxy.close();
      for (const server of servers) server.close();
      expect(`${stdout}${stderr}`).not.toContain(PROXY_PASSWORD);
      expect(stdout).toContain(`ok    service.reachable`);
      expect({ code, asked: [...new Set(proxy.asked)].sort() }).toEqual({
        code: 0,
        asked: [`${SERVICE}:443`, `${ISSUER}:443`],
      });
    },
    30_000,
  );

  it("goes to what is on its own machine by no proxy, and to a collector by it", async () => {
    const proxy = await ForwardProxy.start({ [COLLECTOR]: Number(new URL(collector.url).port) });
    const gateway = operator.start(["serve"], {
      ALL_PROXY: proxy.url,
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://${COLLECTOR}`,
      OTEL_BSP_SCHEDULE_DELAY: "50",
    });
    const [, url] = await gateway.printed(/"url":"([^"]+)"/);
    const response = await fetch(`${url}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${await operator.issuer.sign("alice")}` },
      body: JSON.stringify({
        query: "mutation { issueAccessToken(input: { scopes: [CHAT] }) { accessToken { expiresOn } } }",
      }),
    });
    expect(await response.json()).toMatchObject({ data: { issueAccessToken: { accessToken: {} } } });
    await collector.span(({ name }) => name.includes("issueAccessToken"));
    gateway.kill("SIGTERM");
    await gateway.ended();
    await proxy.close();
    expect(new Set(proxy.asked)).toEqual(new Set([COLLECTOR]));
  }, 30_000);

  it.each([{ HTTPS_PROXY: "proxy.example:3128" }, { HTTP_PROXY: "socks5://not-to-be-printed@proxy.example:1080" }])(
    "does not start with the address of none: %o",
    async (env) => {
      const { code, stderr } = await operator.run(["serve"], env);
      expect(code).toBe(2);
      expect(stderr).toBe(
        `environment: ${Object.keys(env)[0]} must be the address of an HTTP proxy, such as http://proxy.example:3128, or be unset.\n`,
      );
    },
  );
});
