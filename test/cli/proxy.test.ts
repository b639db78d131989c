import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, connect } from "node:net";
import { createServer, type Server } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ForwardProxy, PROXY_PASSWORD } from "../fixtures/forward-proxy.js";
import { Operator } from "../fixtures/operator.js";

/** Found nowhere but by the proxy. */
const SERVICE = "acs.example.test";
const ISSUER = "login.example.test";

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
const WHY_SKIPPED = hasOpenssl ? "" : " (skipped: there is no openssl to make a certificate with)";

let operator: Operator;
beforeAll(async () => {
  operator = await Operator.start("sqlite");
});
afterAll(() => operator.close());

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

  it("goes on where the proxy refuses, resets or swallows, and says so", async () => {
    const proxy = await ForwardProxy.start();
    const gateway = operator.start(["serve"], {
      HTTPS_PROXY: proxy.url,
      ACS_CONNECTION_STRING: operator.emulator.connectionString.replace(/http:\/\/[^;]+/, `https://${SERVICE}/`),
    });
    const [, adminUrl] = await gateway.printed(/"adminUrl":"([^"]+)"/);
    for (const manner of ["refuse and reset", "refuse", "black hole"] as const) {
      proxy.manner = manner;
      for (let probe = 0; probe < 3; probe++) {
        const answer = await (await fetch(`${adminUrl}/health/ready`)).text();
        expect(answer).toContain('"name":"communication-services","ok":false');
      }
    }
    await expect.poll(() => proxy.open).toBe(0);
    gateway.kill("SIGTERM");
    expect(await gateway.ended()).toBe(0);
    await proxy.close();
    expect(gateway.stderr).toBe("");
    expect(gateway.stdout).not.toContain(encodeURIComponent(PROXY_PASSWORD));
    // What is on its own machine, as the issuer here, it goes to by none.
    expect(new Set(proxy.asked)).toEqual(new Set([`${SERVICE}:443`]));
  }, 60_000);

  it("is told by config check, which hides it", async () => {
    const { code, stdout } = await operator.run(["config", "check"], { HTTPS_PROXY: "http://u:hidden-word@p.example" });
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining("proxy:\n") });
    expect(stdout).not.toContain("hidden-word");
  });

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
