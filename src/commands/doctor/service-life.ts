/** The life of an identity, tried at the service: made, given a token, that revoked, deleted. */
import { setTimeout } from "node:timers/promises";
import { type CommunicationService, IdentityNotOwned, type TokenRequest } from "../../acs/service.js";
import { type Check, type Examination, type Finding, fail, ok, reasonOf } from "./examination.js";

export interface LifeOptions {
  /** Once it is aborted, what was made is deleted, and nothing else is tried. */
  readonly stopped: AbortSignal;
  /** Told at once of what was made, for whoever has to look for it if this process is killed. */
  readonly onMade: (communicationUserId: string) => void;
}

const TIMEOUT_MS = 10_000;
const REQUEST: TokenRequest = { scopes: ["CHAT"], lifetimeMinutes: 60 };
/** Of the deletion. */
const TRIES = 4;
const PAUSE_MS = 500;
const DELETE_TIMEOUT_MS = TRIES * (TIMEOUT_MS + PAUSE_MS);

const CURE = "see what the message says; the gateway does the same for each user";
const STEPS = ["service.create", "service.issue", "service.revoke", "service.delete"] as const;
type Step = (typeof STEPS)[number];

/** Without a service that lets anybody in, every step is skipped. */
export async function tryLife(
  examination: Examination,
  service: CommunicationService | undefined,
  options: LifeOptions,
): Promise<void> {
  const made = service && (await make(examination, service, options));
  if (service === undefined || made === undefined) {
    for (const id of STEPS.slice(service === undefined ? 0 : 1))
      examination.skip(id, undefined, "there is no identity");
    return;
  }
  await use(examination, options, "service.issue", async () => {
    await service.issueToken(made, REQUEST);
    return ok("a token was issued");
  });
  await use(examination, options, "service.revoke", async () => {
    await service.revokeTokens(made);
    return ok("its tokens were revoked");
  });
  // Whatever happened before.
  const check: Check = { id: "service.delete", cure: cureOfLeftOver(made), timeoutMs: DELETE_TIMEOUT_MS };
  await examination.check(check, () => remove(service, made));
}

async function make(
  examination: Examination,
  service: CommunicationService,
  { stopped, onMade }: LifeOptions,
): Promise<string | undefined> {
  if (stopped.aborted) {
    examination.skip("service.create", undefined, "stopped");
    return undefined;
  }
  let made: string | undefined;
  const cure = `${CURE}. Where the answer was lost, an identity may be left over at the service: unknown, unused, and free of charge`;
  await examination.check({ id: "service.create", cure, timeoutMs: TIMEOUT_MS + PAUSE_MS }, async () => {
    ({ communicationUserId: made } = await service.createIdentity());
    onMade(made);
    return ok("an identity was made");
  });
  return made;
}

async function use(examination: Examination, { stopped }: LifeOptions, id: Step, work: () => Promise<Finding>) {
  if (stopped.aborted) examination.skip(id, undefined, "stopped");
  else await examination.check({ id, cure: CURE, timeoutMs: TIMEOUT_MS + PAUSE_MS }, work);
}

/** Deleting does no harm twice. */
async function remove(service: CommunicationService, made: string): Promise<Finding> {
  for (let tries = 1; ; tries++) {
    try {
      await service.deleteIdentity(made);
      return ok("the identity was deleted");
    } catch (error) {
      if (error instanceof IdentityNotOwned) return ok("the identity was deleted");
      if (tries === TRIES) return fail(`${made} is left over: ${reasonOf(error)}`, cureOfLeftOver(made));
    }
    await setTimeout(PAUSE_MS);
  }
}

function cureOfLeftOver(made: string): string {
  return `delete it once the service is back: az communication user-identity user delete --user ${made}`;
}
