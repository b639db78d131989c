import { hasMintedNothing, IdentityNotOwned } from "../acs/service.js";
import { GatewayError } from "../errors.js";
import type { ApplicationUser } from "../identities/identity.js";
import type { Limits, Mint } from "../limits/limits.js";
import type { Call } from "../policy/call.js";

/** Neither ends with the caller's deadline: whoever asked may have left. */
interface CountedMint {
  /** Throws RATE_LIMITED. */
  readonly admit: () => Promise<void>;
  readonly failed: (error: unknown) => Promise<void>;
}

/** One token of the user's, counted once it is admitted, and given back when it fails in vain. What is counted is told to the call. */
export function countedMint(
  limits: Pick<Limits, "takeMint">,
  { quotas }: Pick<Call, "quotas">,
  user: ApplicationUser,
): CountedMint {
  let mint: Mint | undefined;
  return {
    admit: async () => {
      mint = await limits.takeMint(user);
      quotas.push(mint.quota);
    },
    failed: async (error) => {
      if (mint === undefined || !isInVain(error)) return;
      quotas.splice(quotas.indexOf(mint.quota), 1);
      await mint.giveBack();
    },
  };
}

/** What comes of the work, once it is admitted. */
export async function mintCounted<Result>(
  { admit, failed }: CountedMint,
  work: () => Promise<Result>,
): Promise<Result> {
  await admit();
  try {
    return await work();
  } catch (error) {
    await failed(error);
    throw error;
  }
}

/** What the service fails at is not counted; what it rejects is, or one caller could use up its patience for all. */
function isInVain(error: unknown): boolean {
  return hasMintedNothing(error) || isUnrecorded(error) || error instanceof IdentityNotOwned;
}

/** The service was not asked, since that could not be recorded; or its token reaches nobody. */
export function isUnrecorded(error: unknown): boolean {
  return error instanceof GatewayError && error.code === "AUDIT_UNAVAILABLE";
}
