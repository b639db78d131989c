/**
 * As whom the gateway speaks to the service: by one access key, by either of two, or as a Microsoft Entra ID identity. Both
 * keys of a resource are good at any time, until one is made anew at the service; then the other takes over.
 */
import { createHmac } from "node:crypto";
import { CommunicationIdentityClient, type CommunicationIdentityClientOptions } from "@azure/communication-identity";
import type { AcsAccess } from "../config/config.js";
import type { Secret } from "../config/secret.js";
import { StartError } from "../errors.js";

/** The setting that a key comes from. */
export type AccessKeyName = "connectionString" | "secondaryConnectionString";
const KEY_NAMES: readonly AccessKeyName[] = ["connectionString", "secondaryConnectionString"];

export interface Credential {
  /** The same in every process that has the same key, and tells nothing of it. */
  readonly id: string;
  readonly client: CommunicationIdentityClient;
  readonly keyName?: AccessKeyName | undefined;
}

export class Credentials {
  readonly #all: readonly Credential[];
  readonly #onSwitch: (to: AccessKeyName) => void;
  #inUse: Credential;

  constructor(all: readonly [Credential, ...Credential[]], onSwitch: (to: AccessKeyName) => void) {
    this.#all = all;
    this.#onSwitch = onSwitch;
    this.#inUse = all[0];
  }

  get inUse(): Credential {
    return this.#inUse;
  }

  /** What to try when the service has refused this one. */
  otherThan(refused: Credential): Credential | undefined {
    return this.#all.find((credential) => credential !== refused);
  }

  /** From now on the one that worked is used; of many calls that were refused at once, the first one says so. */
  replace(refused: Credential, worked: Credential): void {
    if (this.#inUse !== refused) return;
    this.#inUse = worked;
    if (worked.keyName) this.#onSwitch(worked.keyName);
  }
}

/** What each request to the service goes through on its way. */
export type RequestPolicy = NonNullable<CommunicationIdentityClientOptions["additionalPolicies"]>[number]["policy"];

/** Throws a `StartError` for what Microsoft's client does not take. */
export async function openCredentials(
  access: AcsAccess,
  onSwitch: (to: AccessKeyName) => void,
  policy?: RequestPolicy,
): Promise<Credentials> {
  // The client's own retries repeat creates and wait for Retry-After without a cap.
  const settings: CommunicationIdentityClientOptions = {
    retryOptions: { maxRetries: 0 },
    allowInsecureConnection: access.endpoint.startsWith("http:"),
    ...(policy && { additionalPolicies: [{ policy, position: "perRetry" }] }),
  };
  const byKey = (key: Secret, index: number): Credential => ({
    id: idOf(key),
    client: new CommunicationIdentityClient(access.endpoint, { key: key.reveal() }, settings),
    keyName: KEY_NAMES[index],
  });
  try {
    if (access.kind === "key") {
      const [first, ...more] = access.accessKeys;
      return new Credentials([byKey(first, 0), ...more.map((key, index) => byKey(key, index + 1))], onSwitch);
    }
    // Loaded only when used: it is by far the largest dependency.
    const { DefaultAzureCredential } = await import("@azure/identity");
    const client = new CommunicationIdentityClient(access.endpoint, new DefaultAzureCredential(), settings);
    return new Credentials([{ id: "entra", client }], onSwitch);
  } catch (error) {
    // Microsoft's message may quote what it was given, so it is not passed on.
    const message = "The Communication Services client cannot be made: check acs.connectionString or acs.endpoint.";
    throw new StartError(message, { cause: error });
  }
}

const ID_LENGTH = 8;

function idOf(key: Secret): string {
  const mac = createHmac("sha256", key.bytes()).update("acs-token-gateway/access-key-id/1");
  return mac.digest().subarray(0, ID_LENGTH).toString("base64url");
}
