import { createTokenRefresher, type TokenRefresher } from "../../src/client/client.js";
import { DOCUMENTS, LIFETIME_MINUTES, pickDeclared, readAnswer } from "../faults/callers.js";
import type { Action, Entry } from "../faults/history.js";
import { STATED_REFUSALS } from "../faults/invariants.js";
import type { Chance } from "../faults/random.js";
import { DpopClient } from "../fixtures/dpop.js";
import { ViewerDocument } from "../generated/graphql.js";
import type { Balancer } from "./balancer.js";
import { documentId } from "./documents.js";
import type { Exchange } from "./exchange.js";
import type { GoodCaller, Wish } from "./good-caller.js";
import { type Journal, now } from "./journal.js";
import { ANSWERED_WITHIN_MS, judgeGood } from "./rules.js";
import { PUBLIC_URL, type Stage } from "./stage.js";

export interface Parts {
  readonly stage: Stage;
  readonly journal: Journal;
  readonly balancer: Balancer;
  readonly caller: GoodCaller;
}

export interface Order {
  readonly action: Action;
  readonly subject: string;
  readonly by: "user" | "admin";
  readonly scopes?: readonly string[];
  readonly forceNew?: boolean;
}

interface Known {
  readonly id: string;
  readonly communicationUserId: string;
}

interface Telling extends Pick<Wish, "what" | "by" | "send"> {
  readonly identityId?: string | undefined;
}

/** Of the tokens that a revocation said to be done has ended, the newest so many are tried. */
const CHECKED_AT_ONCE = 2;
const ADDRESS = `${PUBLIC_URL}/graphql`;
/** A token is never handed out with less left. */
const LEAST_LEFT_MS = 15 * 60_000;
const ADMIN = { roles: ["Gateway.Admin"] };

/** Everybody who is allowed to ask for what they ask for: the requests about identities and their tokens, and what they may be answered. */
export class Users {
  /** By subject: what an answer has told last. */
  readonly identities = new Map<string, Known>();
  readonly #tokens = new Map<string, Entry[]>();
  readonly #provers = new Map<string, DpopClient>();
  readonly #refreshers = new Map<string, TokenRefresher>();

  constructor(private readonly parts: Parts) {}

  /** One of those that change an identity or bring a token. `steady`: nobody ever changes theirs, so no refusal is right. */
  async order(order: Order, { steady = false } = {}): Promise<Entry | undefined> {
    const { action, subject, by } = order;
    const identityId = by === "admin" ? this.identities.get(subject)?.id : undefined;
    const user = { issuer: this.parts.stage.issuer.url, subject };
    const variables = pickDeclared(DOCUMENTS[action], { ...order, identityId, user });
    const body = JSON.stringify({ query: DOCUMENTS[action], variables });
    return await this.#tell(order, steady, {
      what: `${action}${by === "admin" ? " by an admin" : ""}`,
      by: subject.startsWith("steady") ? "ordinary" : "making",
      send: async () => ({ headers: await this.headers(by === "admin" ? "admin" : subject), body }),
      identityId,
    });
  }

  /** Until it is answered; the last try. */
  async #tell(order: Order, steady: boolean, { identityId, ...wish }: Telling): Promise<Entry | undefined> {
    const { action, subject } = order;
    let last: Entry | undefined;
    await this.parts.caller.ask({
      ...wish,
      subject,
      onTry: (exchange) => {
        last = this.#note(order, exchange, identityId);
      },
    });
    if (last?.outcome === "done") await this.#check(order, last, steady);
    const isRefusedWrongly = last?.outcome === "refused" && (steady || !STATED_REFUSALS.has(last.code));
    if (isRefusedWrongly) this.parts.journal.wrong(`${action} of ${subject}: refused, ${last?.code}`);
    return last;
  }

  /** Of the subject, or of an operator of this name. */
  async headers(subject: string): Promise<Record<string, string>> {
    const roles = subject === "admin" ? ADMIN : subject === "auditor" ? { roles: ["Gateway.Auditor"] } : {};
    return { authorization: `Bearer ${await this.parts.stage.issuer.credential(subject, roles)}` };
  }

  async viewer(subject: string, { byId = false } = {}): Promise<void> {
    const document = byId ? { documentId: documentId("Viewer") } : { query: ViewerDocument.toString() };
    const body = await this.parts.caller.ask({
      what: byId ? "viewer, by the document's id" : "viewer",
      subject,
      send: async () => ({ headers: await this.headers(subject), body: JSON.stringify(document) }),
    });
    if (body === undefined) return;
    const viewer = body.data?.viewer as { user: { subject: string }; identity: Known | null };
    const { user, identity } = viewer;
    const known = this.identities.get(subject);
    if (user.subject !== subject) this.parts.journal.wrong(`viewer of ${subject} is ${user.subject}`);
    if (subject.startsWith("steady") && known && identity?.id !== known.id) {
      this.parts.journal.wrong(`viewer of ${subject} has identity ${identity?.id}, not ${known.id}`);
    }
  }

  /** With a key of the user's own, to which their credential is bound. */
  async proving(subject: string, scopes: readonly string[]): Promise<void> {
    const body = JSON.stringify({ query: DOCUMENTS.issue, variables: { scopes } });
    await this.#tell({ action: "issue", subject, by: "user", scopes }, true, {
      what: "issue with DPoP",
      by: "proving",
      send: async () => ({ headers: await this.provenHeaders(subject), body }),
    });
  }

  async provenHeaders(subject: string): Promise<Record<string, string>> {
    const client = this.#provers.get(subject) ?? new DpopClient();
    this.#provers.set(subject, client);
    const token = await this.parts.stage.issuer.credential(subject, await client.confirmation());
    return { authorization: `DPoP ${token}`, dpop: client.proof(token, ADDRESS) };
  }

  /** By the client package, which does all the repeating itself. */
  async refresh(subject: string): Promise<void> {
    const refresher = this.#refreshers.get(subject) ?? this.#makeRefresher(subject);
    this.#refreshers.set(subject, refresher);
    const start = now();
    this.parts.journal.count("good: refresh by the client package");
    try {
      const { expiresOnTimestamp } = await refresher();
      if (expiresOnTimestamp - now() < LEAST_LEFT_MS) this.parts.journal.wrong(`a token of ${subject} ends too soon`);
    } catch (error) {
      this.parts.journal.lost(`refresh of ${subject}: ${String(error)}`);
    }
    if (now() - start > ANSWERED_WITHIN_MS) this.parts.journal.lost(`refresh of ${subject} took ${now() - start} ms`);
  }

  #makeRefresher(subject: string): TokenRefresher {
    return createTokenRefresher({
      url: ADDRESS,
      getCallerToken: () => this.parts.stage.issuer.credential(subject),
      scopes: ["CHAT", "VOIP"],
      lifetimeMinutes: LIFETIME_MINUTES,
      persisted: true,
      clientName: "soak",
      giveUpAfterSeconds: ANSWERED_WITHIN_MS / 1000,
      fetch: async (_, { headers, body, signal }) => {
        const exchange = await this.parts.balancer.send({ headers, body, signal });
        const { status, headers: answered, text, why } = exchange;
        const { journal } = this.parts;
        const verdict = judgeGood(exchange, journal, "ordinary");
        if ("why" in verdict)
          journal[verdict.kind](`refresh of ${subject}, ${journal.since(exchange.start)}: ${verdict.why}`);
        if (status === undefined || answered === undefined) throw new Error(why ?? "no answer");
        return { status, headers: new Headers(answered as HeadersInit), text: async () => text ?? "" };
      },
    });
  }

  /** By a document that the gateway knows. */
  async issueById(subject: string, scopes: readonly string[]): Promise<void> {
    const variables = { scopes, lifetimeMinutes: LIFETIME_MINUTES };
    const body = JSON.stringify({ documentId: documentId("IssueAccessToken"), variables });
    await this.#tell({ action: "issue", subject, by: "user", scopes }, true, {
      what: "issue, by the document's id",
      send: async () => ({ headers: await this.headers(subject), body }),
    });
  }

  /** Each try as the invariants want it. */
  #note(order: Order, exchange: Exchange, identityId: string | undefined): Entry | undefined {
    const { outcome, instance, start, end, status = 0, body } = exchange;
    if (outcome === "refused" || outcome === "aborted") return undefined;
    const answer = outcome === "answered" ? { status, body: (body ?? {}) as never } : outcome;
    const { action, subject, by } = order;
    const common = { action, subject, by, instance, start, end, ...(identityId && { identityId }) };
    const entry: Entry = { ...common, ...readAnswer(action, answer) };
    this.parts.journal.entries.push(entry);
    return entry;
  }

  async #check(order: Order, entry: Entry, steady: boolean): Promise<void> {
    const { subject, identityId: id, communicationUserId, token } = entry;
    const known = this.identities.get(subject);
    if (steady && known && (known.id !== id || known.communicationUserId !== communicationUserId)) {
      this.parts.journal.wrong(`${subject} has identity ${id} (${communicationUserId}), not ${known.id}`);
    }
    if (id && communicationUserId) this.identities.set(subject, { id, communicationUserId });
    if (token && id) this.#checkToken(order, entry);
    if (token && id) this.#tokens.set(id, [...(this.#tokens.get(id) ?? []).slice(-CHECKED_AT_ONCE), entry]);
    if (entry.confirmed && id) await this.#checkRevoked(entry, id);
  }

  #checkToken({ scopes = [], subject }: Order, { token, communicationUserId }: Entry): void {
    if (token === undefined) return;
    const { journal } = this.parts;
    const claims = JSON.parse(Buffer.from(token.text.split(".")[1] ?? "", "base64url").toString()) as {
      acsScope: string;
      exp: number;
    };
    if (token.communicationUserId !== communicationUserId)
      journal.wrong(`a token of ${subject} is for another identity`);
    const granted = [scopes].flat().map((scope) => SERVICE_SCOPES[scope]);
    const had = claims.acsScope.split(",").sort().join(" ");
    if (had !== granted.sort().join(" ")) journal.wrong(`a token of ${subject} has scopes ${had}, not ${granted}`);
    if (claims.exp * 1000 - now() < LEAST_LEFT_MS - 2000) journal.wrong(`a token of ${subject} ends too soon`);
  }

  /** What the answer says to be done is held to it while it is fresh. */
  async #checkRevoked(entry: Entry, id: string): Promise<void> {
    for (const { token, end } of this.#tokens.get(id) ?? []) {
      if (token === undefined || end >= entry.start) continue;
      const answer = this.parts.stage.control("POST", "/tokens/introspect", { token: token.text });
      // The service may be away by now.
      const { active } = (await answer.catch(() => ({ active: false }))) as { active: boolean };
      if (active) this.parts.journal.wrong(`a token of ${entry.subject} is taken after its revocation was confirmed`);
    }
  }
}

/** As a token says them. */
const SERVICE_SCOPES: Readonly<Record<string, string>> = {
  CHAT: "chat",
  CHAT_JOIN: "chat.join",
  VOIP: "voip",
  VOIP_JOIN: "voip.join",
};

/** What happens to those whose tokens are revoked and whose identities are suspended, reinstated, deleted. */
export function nextOrder(chance: Chance, subjects: number): Order {
  const kind = chance.weighted({
    "user issue": 50,
    "admin issue": 6,
    "user revoke": 10,
    "admin revoke": 4,
    "admin suspend": 5,
    "admin reinstate": 9,
    "user delete": 5,
    "admin delete": 2,
    "admin provision": 4,
  });
  const [by, action] = kind.split(" ") as [Order["by"], Order["action"]];
  return {
    action,
    by,
    subject: `lively-${chance.between(1, subjects)}`,
    scopes: chance.pick(SCOPES),
    forceNew: chance.happens(0.3),
  };
}

export const SCOPES = [["CHAT"], ["VOIP"], ["CHAT", "VOIP"], ["CHAT_JOIN"], ["VOIP_JOIN", "CHAT"]] as const;
