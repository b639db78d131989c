/**
 * Whether Communication Services answers and lets the gateway in. It has no call that only reads: the cheapest that proves the
 * key, or the role, asks for a token of an identity that does not exist, which changes nothing and is refused for that reason.
 */
import { randomUUID } from "node:crypto";
import { type CommunicationService, IdentityNotOwned, ServiceFailure } from "../../acs/service.js";
import { connectAzureService } from "../../acs/service-azure.js";
import type { AcsAccess, Config } from "../../config/config.js";
import { type Check, Examination, type Finding, fail, ok, type Result, reasonOf, warn } from "./examination.js";
import { type LifeOptions, tryLife } from "./service-life.js";

const TIMEOUT_MS = 10_000;
/** For the call to say itself that its time is up. */
const MARGIN_MS = 500;
/** Of no resource. */
const MADE_UP = "8:acs:00000000-0000-0000-0000-000000000000_";
const REACHABLE_CURE =
  "correct the endpoint (ACS_CONNECTION_STRING or ACS_ENDPOINT), or see whether it can be reached from here";
const IDENTITY_CURE =
  "give this process an identity that Microsoft Entra ID knows (a managed identity, or AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET), and see whether Entra ID can be reached from here";
const OUTAGE_CURE =
  "see whether the service has an outage (https://azure.status.microsoft/status), and wait for its end, or what lies between it and this machine";

/** `life`: an identity is made, used and deleted, too. */
export async function examineService({ acs }: Config, life: LifeOptions | undefined): Promise<readonly Result[]> {
  const examination = new Examination();
  let service: CommunicationService | undefined;
  const answers = await examination.check({ id: "service.reachable", cure: REACHABLE_CURE }, async (deadline) => {
    service = await connect(acs);
    await service.check(deadline);
    return ok(`${service.resource} answers`);
  });
  const mayEnter = answers ? await examineAccess(examination, acs) : skipAccess(examination, acs);
  if (life) await tryLife(examination, mayEnter ? service : undefined, life);
  return examination.results;
}

async function connect(access: AcsAccess): Promise<CommunicationService> {
  return await connectAzureService({ access, timeoutMs: TIMEOUT_MS, observe: () => {} });
}

/** True when there is a way in. Each key by itself, for in the gateway one stands in for the other. */
async function examineAccess(examination: Examination, acs: AcsAccess): Promise<boolean> {
  let mayEnter = false;
  for (const [about, access] of waysIn(acs)) {
    const check: Check = { id: "service.access", about, cure: OUTAGE_CURE, timeoutMs: TIMEOUT_MS + MARGIN_MS };
    mayEnter = (await examination.check(check, async () => tryAccess(await connect(access), access))) || mayEnter;
  }
  return mayEnter;
}

function skipAccess(examination: Examination, acs: AcsAccess): false {
  for (const [about] of waysIn(acs)) examination.skip("service.access", about, "the service does not answer");
  return false;
}

function waysIn(acs: AcsAccess): [about: string, access: AcsAccess][] {
  if (acs.kind === "entra") return [["Microsoft Entra ID", acs]];
  const names = ["acs.connectionString", "acs.secondaryConnectionString"];
  return acs.accessKeys.map((key, index) => [names[index] ?? "", { ...acs, accessKeys: [key] }]);
}

function cureOf({ kind }: AcsAccess): string {
  return kind === "key"
    ? "copy the connection string again from the resource's Keys page, and see that this machine's clock is right, as it is signed"
    : "let this identity in: a role on the resource, whose assignment can take minutes to work";
}

async function tryAccess(service: CommunicationService, access: AcsAccess): Promise<Finding> {
  try {
    await service.issueToken(`${MADE_UP}${randomUUID()}`, { scopes: ["CHAT"], lifetimeMinutes: 60 });
  } catch (error) {
    if (error instanceof IdentityNotOwned) return ok("is accepted");
    return judge(error, access);
  }
  return warn("a token was issued for an identity that was made up", "see whether this is Communication Services");
}

/** Of `@azure/identity`, which has found nobody to ask as, or was refused by Entra ID. */
const UNIDENTIFIED = /^(Aggregate)?Authentication(Required)?Error$|^CredentialUnavailableError$/;

function isUnidentified(error: unknown): boolean {
  return error instanceof Error && (UNIDENTIFIED.test(error.name) || isUnidentified(error.cause));
}

/** What the service refuses for another reason than who asks shows that it lets them in. */
export function judge(error: unknown, access: AcsAccess): Finding {
  const message = reasonOf(error);
  if (isUnidentified(error)) return fail(message, IDENTITY_CURE);
  if (!(error instanceof ServiceFailure) || error.reason !== "refused") {
    return error instanceof ServiceFailure && error.reason === "throttled"
      ? warn(message, "ask again in a minute: the service has more calls than it takes")
      : fail(message, OUTAGE_CURE);
  }
  if (/\b40[13]\b/.test(message)) return fail(message, cureOf(access));
  if (/\b404\b/.test(message))
    return fail(message, "correct the endpoint: what answers there is not Communication Services");
  return warn(message, "see whether a token can be had: the service answered in a way that is not known");
}
