import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LimitsConfig } from "../../src/config/config.js";
import type { Limits } from "../../src/limits/limits.js";
import { RateLimited } from "../../src/limits/quota.js";

interface LimitsSetup {
  readonly config: LimitsConfig;
  readonly windowSeconds: number;
}

interface OpenedLimits {
  /** Limits that have counted nothing yet for the users of this test. */
  make(setup: LimitsSetup): Limits;
  /** Lets this much time pass for the windows. */
  pass(milliseconds: number): Promise<void>;
  close(): Promise<void>;
}

const PLENTY = 1_000_000;

export function budgets(changed: Partial<LimitsConfig>): LimitsConfig {
  const plenty = {
    requestsPerSubject: PLENTY,
    mintsPerSubject: PLENTY,
    mintsPerIssuer: PLENTY,
    revocationsPerSubject: PLENTY,
  };
  return { ...plenty, failedAuthPerAddress: PLENTY, instances: 1, rememberedCounts: PLENTY, ...changed };
}

export const newUser = (issuer = `https://${randomUUID()}.example.com`) => ({ issuer, subject: randomUUID() });

/** How many of so many takes, all at once, are let through. Whatever fails for another reason than the budget is thrown. */
export async function countGranted(times: number, take: () => Promise<unknown>): Promise<number> {
  const outcomes = await Promise.all(
    Array.from({ length: times }, async () => {
      try {
        await take();
        return true;
      } catch (error) {
        if (error instanceof RateLimited) return false;
        throw error;
      }
    }),
  );
  return outcomes.filter((granted) => granted).length;
}

/** The quota that a refusal carries. */
async function refused(take: Promise<unknown>): Promise<RateLimited> {
  const error = await take.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof RateLimited) return error;
  throw error ?? new Error("the take was granted");
}

/** What limits must do wherever they count. */
export function limitsConformance(name: string, open: () => Promise<OpenedLimits>): void {
  describe(`limits counted in ${name}`, () => {
    let opened: OpenedLimits;
    const make = (changed: Partial<LimitsConfig>, windowSeconds = 60) =>
      opened.make({ config: budgets(changed), windowSeconds });
    beforeAll(async () => {
      opened = await open();
    });
    afterAll(async () => {
      await opened.close();
    });

    it.each([
      [
        "requests",
        "requestsPerSubject",
        (limits: Limits, user: ReturnType<typeof newUser>) => limits.takeRequest(user),
      ],
      [
        "mints by subject",
        "mintsPerSubject",
        (limits: Limits, user: ReturnType<typeof newUser>) => limits.takeMint(user),
      ],
      [
        "mints by issuer",
        "mintsPerIssuer",
        (limits: Limits, { issuer }: ReturnType<typeof newUser>) => limits.takeMint(newUser(issuer)),
      ],
      [
        "revocations",
        "revocationsPerSubject",
        (limits: Limits, user: ReturnType<typeof newUser>) => limits.takeRevocation(user),
      ],
      [
        "failed authentication",
        "failedAuthPerAddress",
        (limits: Limits, { subject }: ReturnType<typeof newUser>) => limits.takeFailedAuth(subject),
      ],
    ] as const)("let exactly 50 of 200 concurrent takes through: %s", async (_, setting, take) => {
      const limits = make({ [setting]: 50 });
      const user = newUser();
      expect(await countGranted(200, () => take(limits, user))).toBe(50);
      expect(await countGranted(10, () => take(limits, user))).toBe(0);
    });

    it("say what is left, and when the window ends", async () => {
      const limits = make({ requestsPerSubject: 2, mintsPerSubject: 5 });
      const user = newUser();
      const first = await limits.takeRequest(user);
      expect(first).toEqual({ name: "requests", user, limit: 2, windowSeconds: 60, remaining: 1, resetSeconds: 60 });
      expect(await limits.takeRequest(user)).toMatchObject({ remaining: 0 });
      const { quota, retryAfterSeconds, code } = await refused(limits.takeRequest(user));
      expect(code).toBe("RATE_LIMITED");
      expect(quota).toMatchObject({ name: "requests", user, limit: 2, remaining: 0 });
      expect(retryAfterSeconds).toBe(quota.resetSeconds);
      expect(await limits.takeMint(user)).toMatchObject({ quota: { name: "mints", user, remaining: 4 } });
    });

    it("begin anew when the window ends, which what is refused does not put off", async () => {
      const limits = make({ requestsPerSubject: 2 }, 3);
      const user = newUser();
      expect(await countGranted(3, () => limits.takeRequest(user))).toBe(2);
      await opened.pass(1500);
      expect((await refused(limits.takeRequest(user))).quota.resetSeconds).toBeLessThanOrEqual(2);
      await opened.pass(1500);
      expect(await countGranted(3, () => limits.takeRequest(user))).toBe(2);
    });

    it("keep subjects and issuers apart, also where their names run together", async () => {
      const limits = make({ requestsPerSubject: 1, mintsPerSubject: 1 });
      const { issuer, subject } = newUser();
      const users = [
        { issuer, subject },
        { issuer, subject: `${subject}\n` },
        { issuer: `${issuer}\n${subject}`, subject: "x" },
        { issuer, subject: `${subject}\nx` },
        { issuer: `${issuer}","${subject}`, subject: "x" },
        { issuer, subject: `${subject}","x` },
        newUser(issuer),
        { issuer: `${issuer}/`, subject },
      ];
      for (const user of users) {
        expect(await countGranted(2, () => limits.takeRequest(user))).toBe(1);
        expect(await countGranted(2, () => limits.takeMint(user))).toBe(1);
      }
    });

    it("take nothing from the issuer for what the subject's budget refuses", async () => {
      const limits = make({ mintsPerSubject: 1, mintsPerIssuer: 2 });
      const greedy = newUser();
      expect(await countGranted(20, () => limits.takeMint(greedy))).toBe(1);
      expect(await limits.takeMint(newUser(greedy.issuer))).toMatchObject({ quota: { remaining: 0 } });
      const { quota } = await refused(limits.takeMint(newUser(greedy.issuer)));
      expect(quota).toMatchObject({ name: "issuer-mints", user: null, limit: 2, remaining: 0 });
    });

    it("give back nothing once the window has ended, to the next one least of all", async () => {
      const limits = make({ mintsPerSubject: 3 }, 2);
      const user = newUser();
      const old = await Promise.all([1, 2, 3].map(() => limits.takeMint(user)));
      await opened.pass(2000);
      expect(await countGranted(3, () => limits.takeMint(user))).toBe(3);
      for (const mint of old) await mint.giveBack();
      expect(await countGranted(3, () => limits.takeMint(user))).toBe(0);
    });

    it("take nothing from the subject for what the issuer's budget refuses", async () => {
      const limits = make({ mintsPerSubject: 3, mintsPerIssuer: 3 }, 4);
      const user = newUser();
      expect(await countGranted(3, () => limits.takeMint(newUser(user.issuer)))).toBe(3);
      await opened.pass(2000);
      expect(await countGranted(20, () => limits.takeMint(user))).toBe(0);
      // The issuer's window ends, and the user's goes on.
      await opened.pass(2000);
      expect(await countGranted(20, () => limits.takeMint(user))).toBe(3);
    });
  });
}
