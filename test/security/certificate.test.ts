import { createHash, randomBytes } from "node:crypto";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Config } from "../../src/config/config.js";
import { DpopClient } from "../fixtures/dpop.js";
import { Rig } from "../fixtures/rig.js";
import { attack, expectLetIn, expectRefused, expectUnauthenticated } from "./attack.js";
import { rawRequest } from "./raw.js";

/** Stands for a certificate: nothing here reads more of one than its hash (RFC 8705 §3.1). */
const DER = randomBytes(800);
const header = (der: Buffer) => ({ "client-cert": `:${der.toString("base64")}:` });
const boundTo = (der: Buffer, more: object = {}) => ({
  claims: { cnf: { "x5t#S256": createHash("sha256").update(der).digest("base64url"), ...more } },
});

type Proxies = Config["server"]["proxies"];
const BEHIND_PROXY: Proxies = {
  addresses: ["127.0.0.1"],
  clientAddressHeader: null,
  clientCertificateHeader: "client-cert",
};

async function startRig(proxies: Proxies): Promise<Rig> {
  const rig = await Rig.start({
    configure: (config) => ({
      ...config,
      server: { ...config.server, proxies },
      policy: {
        rules: config.policy.rules.map((rule) => ({ ...rule, when: { ...rule.when, senderConstrained: true } })),
      },
    }),
  });
  onTestFinished(() => rig.close());
  return rig;
}

describe("a token that is bound to a certificate", () => {
  it("is let in with that certificate, from a named proxy, and counts as sender-constrained", async () => {
    const rig = await startRig(BEHIND_PROXY);
    const token = await rig.issuer.sign("alice", boundTo(DER));
    await expectLetIn(rig, await attack(rig, `Bearer ${token}`, header(DER)));
  });

  it("is refused with another certificate, with none, and with a hash of another kind", async () => {
    const rig = await startRig(BEHIND_PROXY);
    const token = await rig.issuer.sign("alice", boundTo(DER));
    await expectUnauthenticated(rig, await attack(rig, `Bearer ${token}`, header(randomBytes(800))));
    await expectUnauthenticated(rig, await attack(rig, `Bearer ${token}`));
    const hex = createHash("sha256").update(DER).digest("hex");
    for (const thumbprint of [hex, "", null, 7, [hex]]) {
      const odd = await rig.issuer.sign("alice", { claims: { cnf: { "x5t#S256": thumbprint } } });
      await expectUnauthenticated(rig, await attack(rig, `Bearer ${odd}`, header(DER)));
    }
    await expectLetIn(rig, await attack(rig, `Bearer ${token}`, header(DER)));
  });

  it("is refused when the certificate comes from anyone who is not a named proxy, or nobody is named", async () => {
    for (const proxies of [
      { ...BEHIND_PROXY, addresses: ["10.0.0.0/8"] },
      { ...BEHIND_PROXY, clientCertificateHeader: null },
      { addresses: [], clientAddressHeader: null, clientCertificateHeader: null },
    ]) {
      const rig = await startRig(proxies);
      const token = await rig.issuer.sign("alice", boundTo(DER));
      await expectUnauthenticated(rig, await attack(rig, `Bearer ${token}`, header(DER)));
    }
  });

  it("is refused with a header that has none, which leaves bearer tokens alone", async () => {
    const rig = await startRig(BEHIND_PROXY);
    for (const none of ["", "::"]) {
      const token = await rig.issuer.sign("alice", boundTo(DER));
      await expectUnauthenticated(rig, await attack(rig, `Bearer ${token}`, { "client-cert": none }));
      const bearer = await attack(rig, `Bearer ${await rig.issuer.sign("alice")}`, { "client-cert": none });
      await expectRefused(rig, bearer, { status: 403, code: "FORBIDDEN" });
    }
  });

  it("is refused with a header that is not one certificate", async () => {
    const rig = await startRig(BEHIND_PROXY);
    const token = await rig.issuer.sign("alice", boundTo(DER));
    const value = header(DER)["client-cert"];
    for (const odd of [DER.toString("base64"), `${value}, ${value}`, value.slice(0, -1), `${value};a=1`, ":%%:"]) {
      const reply = await attack(rig, `Bearer ${token}`, { "client-cert": odd });
      await expectRefused(rig, reply, { status: 400, code: "BAD_REQUEST" });
    }
    const twice = [
      ["authorization", `Bearer ${token}`],
      ["client-cert", value],
      ["client-cert", value],
    ] as const;
    expect(await rawRequest(rig, twice)).toMatch(/^HTTP\/1.1 400 /);
    await expectLetIn(rig, await attack(rig, `Bearer ${token}`, header(DER)));
  });

  it("is refused when it is bound to a key too, and one of the two is missing", async () => {
    const rig = await startRig(BEHIND_PROXY);
    const client = new DpopClient();
    const { cnf } = await client.confirmation();
    const token = await rig.issuer.sign("alice", boundTo(DER, cnf));
    const uri = `${rig.gateway.url}/graphql`;
    const proof = () => ({ dpop: client.proof(token, uri) });
    await expectUnauthenticated(rig, await attack(rig, `Bearer ${token}`, { ...header(DER) }));
    await expectUnauthenticated(rig, await attack(rig, `DPoP ${token}`, proof()));
    await expectLetIn(rig, await attack(rig, `DPoP ${token}`, { ...header(DER), ...proof() }));
  });
});

describe("a token that is not bound", () => {
  it("does not become sender-constrained by a certificate that comes along", async () => {
    const rig = await startRig(BEHIND_PROXY);
    const reply = await attack(rig, `Bearer ${await rig.issuer.sign("alice")}`, header(DER));
    await expectRefused(rig, reply, { status: 403, code: "FORBIDDEN" });
  });
});
