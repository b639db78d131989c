import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { SignJWT } from "jose";
import { AUDIENCE, publish, type SignOptions } from "../fixtures/issuer.js";
import type { Published } from "./issuer-server.js";

/** How long a key is published before it signs, as issuers do: longer than the gateway's pause between two fetches. */
const PUBLISHED_AHEAD_MS = 12_000;
/** Credentials live this long, so that a key can go soon after it last signed. */
const LIFETIME_SECONDS = 90;
/** Past their life and the tolerance for clocks: nothing good is signed by the old key any more. */
const OLD_KEY_MS = (LIFETIME_SECONDS + 10) * 1000;
/** A credential is asked for again when it is this old. */
const RENEW_MS = 60_000;
const ALGORITHM = "ES256";

interface Credential {
  readonly token: Promise<string>;
  readonly at: number;
}

interface SigningKey {
  readonly kid: string;
  readonly key: KeyObject;
  readonly published: object;
}

/** An issuer whose keys change, and whose users get a new credential now and then. */
export class RotatingIssuer {
  #current = makeKey("key-0");
  #rotations = 0;
  #keys: readonly object[] = [this.#current.published];
  #outage: Published["outage"] = "none";
  readonly #credentials = new Map<string, Credential>();

  private constructor(
    private readonly server: Worker,
    readonly url: string,
  ) {
    this.#publish();
  }

  static async start(): Promise<RotatingIssuer> {
    const server = new Worker(new URL("issuer-server.ts", import.meta.url));
    const [port] = (await once(server, "message")) as [number];
    return new RotatingIssuer(server, `http://127.0.0.1:${port}`);
  }

  /** The subject's credential, or a new one if it is older than they keep it. */
  async credential(subject: string, claims: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const held = this.#credentials.get(subject);
    if (held && Date.now() - held.at < RENEW_MS) return await held.token;
    const token = this.sign(subject, { claims });
    this.#credentials.set(subject, { token, at: Date.now() });
    return await token;
  }

  /** A credential that the gateway accepts, but for what is changed. */
  async sign(subject: string, { claims = {}, header = {}, key }: SignOptions = {}): Promise<string> {
    return await new SignJWT({ ...this.claimsOf(subject), ...claims })
      .setProtectedHeader({ alg: ALGORITHM, kid: this.#current.kid, typ: "at+jwt", ...header })
      .sign(key ?? this.#current.key);
  }

  claimsOf(subject: string): Record<string, unknown> {
    const iat = Math.floor(Date.now() / 1000);
    const who = { iss: this.url, aud: AUDIENCE, sub: subject, client_id: "soak" };
    return { ...who, iat, exp: iat + LIFETIME_SECONDS, jti: crypto.randomUUID() };
  }

  /** Publishes a new key, signs with it a little later, and takes the old ones back when nothing good is signed by them. */
  async rotate(signal: AbortSignal): Promise<void> {
    this.#rotations += 1;
    const added = makeKey(`key-${this.#rotations}`);
    const old = this.#keys;
    this.#keys = [...old, added.published];
    this.#publish();
    await setTimeout(PUBLISHED_AHEAD_MS, undefined, { signal });
    this.#current = added;
    void setTimeout(OLD_KEY_MS, undefined, { signal, ref: false }).then(
      () => {
        this.#keys = this.#keys.filter((key) => !old.includes(key));
        this.#publish();
      },
      () => {},
    );
  }

  outage(kind: Published["outage"]): void {
    this.#outage = kind;
    this.#publish();
  }

  async close(): Promise<void> {
    await this.server.terminate();
  }

  #publish(): void {
    this.server.postMessage({ keys: this.#keys, outage: this.#outage } satisfies Published);
  }
}

function makeKey(kid: string): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { kid, key: privateKey, published: publish(publicKey, { kid, alg: ALGORITHM }) };
}
