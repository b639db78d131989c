import { expect, it, vi } from "vitest";
import { createFingerprint } from "../../src/audit/fingerprint.js";
import { AuditLog } from "../../src/audit/log.js";
import type { RecordOptions } from "../../src/audit/trail.js";
import { Secret } from "../../src/config/secret.js";
import type { Identity } from "../../src/identities/identity.js";

const LOOK_MS = 100;
/** By the trail's clock. */
const NOW = 5000;
const PREMISE = { identityId: "idn_1", communicationUserId: "8:acs:a_b", revocations: 0 };

const rowAt = (lastTokenIssuedAt: number): Identity => ({
  id: PREMISE.identityId,
  user: { issuer: "https://issuer.test", subject: "u" },
  communicationUserId: PREMISE.communicationUserId,
  resource: "r.example.com",
  status: "ACTIVE",
  createdAt: 1,
  lastTokenIssuedAt,
  tokensValidAfter: null,
  revocationPending: false,
  revocations: 0,
});

/** A token on a premise, of a trail that does so with the event; and the looks that were made beside it. */
async function note(write: (options: RecordOptions) => boolean) {
  const look = vi.fn(async () => rowAt(2));
  const log = new AuditLog({
    trail: { record: async (_event, _deadline, options = {}) => write(options) },
    fingerprint: createFingerprint(new Secret(Buffer.alloc(32, 1).toString("base64"))),
    redact: (text) => text,
    timeoutMs: 1000,
    elapsed: () => NOW,
  });
  const command = log.ofCommand({ requestId: "r", client: { name: null, version: null } });
  const token = { token: "secret", expiresOn: 5 };
  const noted = await command.tokenAndLookIf(PREMISE, "TOKEN_REUSED", { about: {}, token, look });
  return { noted, look };
}

it("takes the row that was found with the record for the last look, and none besides", async () => {
  const { noted, look } = await note(({ found }) => {
    found?.({ identity: rowAt(1), askedAt: NOW - LOOK_MS });
    return true;
  });
  expect(await noted?.lastLook()).toEqual(rowAt(1));
  expect(look).not.toHaveBeenCalled();
});

it("looks once more where the record took too long for that, or no row was told", async () => {
  for (const age of [LOOK_MS + 1, undefined]) {
    const { noted, look } = await note(({ found }) => {
      if (age !== undefined) found?.({ identity: rowAt(1), askedAt: NOW - age });
      return true;
    });
    expect(await noted?.lastLook()).toEqual(rowAt(2));
    expect(look).toHaveBeenCalledTimes(1);
  }
});

it("has no token, and looks at nothing, where the premise does not hold", async () => {
  const { noted, look } = await note(() => false);
  expect(noted).toBeUndefined();
  expect(look).not.toHaveBeenCalled();
});
