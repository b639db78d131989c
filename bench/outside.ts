/** What is outside of a server that is measured: the service, as emulated, and the issuer of its callers' tokens. */
import { join } from "node:path";
import { startIssuer } from "../src/dev/issuer.js";
import { startEmulator } from "../src/emulator/emulator.js";

export const USERS = 100;

const AUDIENCE = "bench";
const KEY = Buffer.alloc(32, 7).toString("base64");
const MOST = "1000000000";

export interface OutsideOptions {
  /** For the issuer's key and port. */
  readonly folder: string;
  readonly users?: readonly string[];
  readonly latency?: "none" | "realistic";
}

export interface Outside {
  readonly issuer: string;
  /** Of the service. */
  readonly connectionString: string;
  /** One for each user. */
  readonly tokens: readonly string[];
  /** What a gateway, or a peer, has to know of it; limits and pace are kept, but so high that nothing is refused or waits. */
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

export async function startOutside({ folder, users = USER_NAMES, latency = "none" }: OutsideOptions): Promise<Outside> {
  const emulator = await startEmulator({ host: "127.0.0.1", port: 0, latency, rateLimits: false });
  const issuer = await startIssuer({ file: join(folder, "issuer.json"), port: 0, audience: AUDIENCE });
  const { connectionString } = emulator;
  return {
    issuer: issuer.issuer,
    connectionString,
    tokens: await Promise.all(users.map((subject) => issuer.token({ subject }))),
    env: {
      ACS_CONNECTION_STRING: connectionString,
      OIDC_ISSUER: issuer.issuer,
      OIDC_AUDIENCE: AUDIENCE,
      TOKEN_CACHE_KEY: KEY,
      AUDIT_KEY: KEY,
      LIMIT_MINTS_PER_SUBJECT: MOST,
      LIMIT_MINTS_PER_ISSUER: MOST,
      LIMIT_REQUESTS_PER_SUBJECT: MOST,
      ACS_PACE_PERCENT: "1000000",
    },
    close: async () => {
      await issuer.close();
      await emulator.close();
    },
  };
}

const USER_NAMES = Array.from({ length: USERS }, (_, index) => `user-${index}`);
