import { fetchDate } from "../../auth/fetch-bytes.js";
import { discoverJwksUri, fetchKeys } from "../../auth/key-fetch.js";
import { keyFits } from "../../auth/public-key.js";
import type { IssuerConfig } from "../../config/config.js";
import { type Check, Examination, type Finding, fail, ok, type Result, skip, warn } from "./examination.js";

/** `Date` has whole seconds. */
const PRECISION_MS = 1000;

/** Whether the tokens of an issuer can be verified: its metadata, its keys, and how its clock and this one agree. */
export async function examineIssuer(config: IssuerConfig, now: () => number): Promise<readonly Result[]> {
  const examination = new Examination();
  const { issuer } = config;
  let jwksUri = config.jwksUri ?? undefined;
  if (jwksUri !== undefined) examination.skip("issuer.discovery", issuer, "the configuration says where the keys are");
  else
    await examination.check(discovery(issuer), async (deadline) => {
      jwksUri = await discoverJwksUri(issuer, deadline);
      return ok(`its keys are at ${jwksUri}`);
    });
  const address = jwksUri;
  if (address === undefined) {
    for (const id of ["issuer.keys", "issuer.clock"] as const)
      examination.skip(id, issuer, "nobody knows where its keys are");
    return examination.results;
  }
  await examination.check(keys(issuer), (deadline) => findUsableKey(address, config, deadline));
  const clock: Check = { id: "issuer.clock", about: issuer, cure: "see whether the issuer can be reached from here" };
  await examination.check(clock, (deadline) => compareClocks(address, config, now, deadline));
  return examination.results;
}

const discovery = (issuer: string): Check => ({
  id: "issuer.discovery",
  about: issuer,
  cure: "correct the issuer (OIDC_ISSUER), which is compared as exact text; or see whether it can be reached from here, by name, port and certificate; or name its keys in jwksUri",
});

const keys = (issuer: string): Check => ({
  id: "issuer.keys",
  about: issuer,
  cure: "have the issuer publish a key that can be used, or correct jwksUri; no token of it can be verified until then",
});

async function findUsableKey(jwksUri: string, { algorithms }: IssuerConfig, deadline: AbortSignal): Promise<Finding> {
  const { usable, unusable } = await fetchKeys(jwksUri, [], deadline);
  const fitting = usable.filter((key) => algorithms.some((algorithm) => keyFits(key, algorithm)));
  if (fitting.length === 0) {
    return fail(
      `none of its ${usable.length} keys is for ${algorithms.join(", ")}`,
      "add the algorithm that it signs with to the issuer's algorithms",
    );
  }
  const others = unusable.length === 0 ? "" : `, ${unusable.length} not usable (${[...new Set(unusable)].join(", ")})`;
  return ok(`${fitting.length} that can be used${others}`);
}

async function compareClocks(
  address: string,
  { clockToleranceSeconds }: IssuerConfig,
  now: () => number,
  deadline: AbortSignal,
): Promise<Finding> {
  const before = now();
  const theirs = await fetchDate(address, deadline);
  if (theirs === undefined) return skip("the issuer does not say what time it is");
  // The answer was dated at some moment between the two, and in the second that the text names.
  const ahead = theirs - now();
  const behind = before - theirs - PRECISION_MS;
  const allowed = clockToleranceSeconds * 1000;
  const difference = Math.round(Math.max(ahead, behind) / 1000);
  if (ahead > allowed) {
    return fail(
      `this machine's clock is ${difference} s behind the issuer's, and ${clockToleranceSeconds} s are tolerated: tokens just made are refused`,
      "set this machine's clock (NTP)",
    );
  }
  if (behind > allowed) {
    return warn(
      `this machine's clock is ${difference} s before the issuer's, and ${clockToleranceSeconds} s are tolerated: tokens end early`,
      "set this machine's clock (NTP)",
    );
  }
  return ok(`agree within ${clockToleranceSeconds} s`);
}
