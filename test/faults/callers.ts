import type { Cluster } from "./cluster.js";
import { type Action, clock, type Entry, type Outcome, type SeenToken } from "./history.js";

/** Asked for with every token, so that its minting is `expiresOn` less this. */
export const LIFETIME_MINUTES = 60;
/** Of the earlier tokens that a confirmed revocation is checked against at once, the newest so many. */
const CHECKED_AT_ONCE = 3;

const IDENTITY = "identity { id communicationUserId revocationPending }";
const mutation = (field: Action, declared: string, input: string, answer: string) =>
  `mutation(${declared}) { ${FIELDS[field]}(input: { ${input} }) { ${answer} userErrors { code } } }`;
const FIELDS: Readonly<Record<Action, string>> = {
  issue: "issueAccessToken",
  revoke: "revokeAccessTokens",
  suspend: "suspendIdentity",
  reinstate: "reinstateIdentity",
  delete: "deleteIdentity",
  provision: "provisionIdentity",
};
export const DOCUMENTS: Readonly<Record<Action, string>> = {
  issue: mutation(
    "issue",
    "$identityId: ID, $scopes: [TokenScope!]!, $forceNew: Boolean",
    `identityId: $identityId, scopes: $scopes, forceNew: $forceNew, lifetimeMinutes: ${LIFETIME_MINUTES}`,
    `accessToken { token expiresOn ${IDENTITY} }`,
  ),
  revoke: mutation("revoke", "$identityId: ID", "identityId: $identityId", `effectiveBy ${IDENTITY}`),
  suspend: mutation("suspend", "$identityId: ID!", "identityId: $identityId", IDENTITY),
  reinstate: mutation("reinstate", "$identityId: ID!", "identityId: $identityId", IDENTITY),
  delete: mutation("delete", "$identityId: ID", "identityId: $identityId", "deletedIdentityId"),
  provision: mutation("provision", "$user: ApplicationUserInput!", "user: $user", IDENTITY),
};

export interface Order {
  readonly action: Action;
  readonly subject: string;
  readonly by: "user" | "admin";
  readonly instance: number;
  readonly scopes?: readonly string[];
  readonly forceNew?: boolean;
}

interface AnsweredIdentity {
  readonly id: string;
  readonly communicationUserId: string | null;
  readonly revocationPending: boolean;
}

interface Payload {
  readonly accessToken?: {
    readonly token: string;
    readonly expiresOn: string;
    readonly identity: AnsweredIdentity;
  } | null;
  readonly identity?: AnsweredIdentity | null;
  readonly effectiveBy?: string | null;
  readonly deletedIdentityId?: string | null;
  readonly userErrors: readonly { readonly code: string }[];
}

export interface Body {
  readonly data?: Readonly<Record<string, unknown>> | null;
  readonly errors?: readonly { readonly extensions: { readonly code: string } }[];
}

/** Sends what it is told to, and writes down what came of it. */
export class Callers {
  readonly history: Entry[] = [];
  readonly #credentials = new Map<string, Promise<string>>();
  readonly #identityIds = new Map<string, string>();
  readonly #tokens = new Map<string, Entry[]>();

  /** `patienceMs`: how long any answer may take. */
  constructor(
    private readonly cluster: Cluster,
    private readonly patienceMs: number,
  ) {}

  /** The gateway's id of the subject's identity, as far as an answer has told it. */
  identityIdOf(subject: string): string | undefined {
    return this.#identityIds.get(subject);
  }

  async send(order: Order): Promise<Entry> {
    const { action, subject, by, instance } = order;
    const identityId = by === "admin" ? this.identityIdOf(subject) : undefined;
    const user = { issuer: this.cluster.issuer.url, subject };
    const variables = { identityId, user, scopes: order.scopes, forceNew: order.forceNew };
    const start = clock();
    const answer = await this.#post(instance, by === "admin" ? "admin" : subject, {
      query: DOCUMENTS[action],
      variables: pickDeclared(DOCUMENTS[action], variables),
    });
    const common = { action, subject, by, instance, start, end: clock(), ...(identityId && { identityId }) };
    const entry = await this.#withCheckAtOnce({ ...common, ...readAnswer(action, answer) });
    this.#note(entry);
    return entry;
  }

  /** What an administrator reads; undefined when there is no such answer. */
  async read(instance: number, query: string): Promise<Readonly<Record<string, unknown>> | undefined> {
    const answer = await this.#post(instance, "admin", { query });
    return typeof answer === "string" ? undefined : (answer.body.data ?? undefined);
  }

  async #post(
    instance: number,
    subject: string,
    body: unknown,
  ): Promise<{ status: number; body: Body } | "cut" | "unanswered"> {
    const credential = await this.#credential(subject);
    try {
      const response = await fetch(this.cluster.url(instance), {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${credential}` },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(this.patienceMs),
      });
      return { status: response.status, body: (await response.json()) as Body };
    } catch (error) {
      return error instanceof Error && error.name === "TimeoutError" ? "unanswered" : "cut";
    }
  }

  async #credential(subject: string): Promise<string> {
    let signed = this.#credentials.get(subject);
    if (signed === undefined) {
      signed = this.cluster.issuer.sign(subject, subject === "admin" ? { claims: { roles: ["Gateway.Admin"] } } : {});
      this.#credentials.set(subject, signed);
    }
    return await signed;
  }

  #note(entry: Entry): void {
    this.history.push(entry);
    if (entry.outcome !== "done" || entry.identityId === undefined) return;
    if (entry.action !== "delete") this.#identityIds.set(entry.subject, entry.identityId);
    if (entry.token === undefined) return;
    const tokens = this.#tokens.get(entry.identityId) ?? [];
    tokens.push(entry);
    this.#tokens.set(entry.identityId, tokens);
  }

  /** An answer that says "done at the service" is held to it while it is fresh. */
  async #withCheckAtOnce(entry: Entry): Promise<Entry> {
    if (!entry.confirmed || entry.identityId === undefined) return entry;
    const earlier = (this.#tokens.get(entry.identityId) ?? []).filter(({ end }) => end < entry.start);
    const active = await Promise.all(
      earlier.slice(-CHECKED_AT_ONCE).map(({ token }) => this.cluster.isActive(token?.text ?? "")),
    );
    return { ...entry, stillTaken: active.filter(Boolean).length };
  }
}

/** GraphQL refuses variables of input types that the document does not declare only when they are required; be exact. */
export function pickDeclared(document: string, variables: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(variables).filter(([name]) => document.includes(`$${name}:`)));
}

type Seen = Omit<Entry, "action" | "subject" | "by" | "instance" | "start" | "end">;

export function readAnswer(action: Action, answer: { status: number; body: Body } | "cut" | "unanswered"): Seen {
  if (typeof answer === "string") return { outcome: answer };
  const { status, body } = answer;
  const payload = body.data?.[FIELDS[action]] as Payload | null | undefined;
  if (status !== 200 || body.errors !== undefined || payload === null || payload === undefined) {
    return { outcome: "failed", status, code: body.errors?.[0]?.extensions.code ?? "none" };
  }
  const refusal = payload.userErrors[0];
  if (refusal !== undefined) return { outcome: "refused", status, code: refusal.code };
  return { outcome: "done" satisfies Outcome, status, ...readPayload(action, payload) };
}

function readPayload(action: Action, payload: Payload): Partial<Seen> {
  const { accessToken, identity = accessToken?.identity, effectiveBy, deletedIdentityId } = payload;
  if (deletedIdentityId) return { identityId: deletedIdentityId };
  if (!identity) return {};
  const confirmed =
    action === "revoke" ? effectiveBy !== null : action === "suspend" ? !identity.revocationPending : false;
  return {
    identityId: identity.id,
    communicationUserId: identity.communicationUserId,
    confirmed,
    ...(accessToken && { token: readToken(accessToken) }),
  };
}

function readToken({ token, expiresOn }: { token: string; expiresOn: string }): SeenToken {
  const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as {
    skypeid: string;
    emulator: { revocations: number };
  };
  return {
    text: token,
    mintedAt: Date.parse(expiresOn) - LIFETIME_MINUTES * 60_000,
    communicationUserId: `8:${claims.skypeid}`,
    generation: claims.emulator.revocations,
  };
}
