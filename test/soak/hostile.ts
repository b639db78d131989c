/** Requests that nobody may make, or that nobody in their right mind would: none gets anything, and none disturbs the others. */
import { generateKeyPairSync } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import type { Chance } from "../faults/random.js";
import { base64url } from "../fixtures/issuer.js";
import { parseBody } from "./exchange.js";
import { type Journal, now } from "./journal.js";
import { judgeGood, judgeHostile, mayBeTold } from "./rules.js";
import type { Parts, Users } from "./users.js";

const ISSUE = JSON.stringify({
  query: "mutation { issueAccessToken(input: { scopes: [CHAT], forceNew: true }) { accessToken { token } } }",
});
const OVERSIZE_BYTES = 100_000;
const DEEP = 40;
/** The budget is spent many times over, and the machine left to the others. */
const FLOOD_PAUSE_MS = 60;
const STRANGER = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;

/** Someone who is nobody's user. */
type Forgery = (users: Users, parts: Parts) => Promise<string>;

const FORGERIES: Readonly<Record<string, Forgery>> = {
  "none at all": async () => "",
  nonsense: async () => "Bearer nonsense",
  expired: async (_, { stage }) =>
    `Bearer ${await stage.issuer.sign("mallory", { claims: { exp: seconds() - 60, iat: seconds() - 600 } })}`,
  "signed by a stranger": async (_, { stage }) => `Bearer ${await stage.issuer.sign("steady-1", { key: STRANGER })}`,
  "of an unknown key": async (_, { stage }) =>
    `Bearer ${await stage.issuer.sign("steady-1", { key: STRANGER, header: { kid: crypto.randomUUID() } })}`,
  "for somebody else": async (_, { stage }) =>
    `Bearer ${await stage.issuer.sign("mallory", { claims: { aud: "another" } })}`,
  "of another issuer": async (_, { stage }) =>
    `Bearer ${await stage.issuer.sign("mallory", { claims: { iss: "https://evil.example" } })}`,
  unsigned: async (_, { stage }) => {
    const claims = JSON.stringify({ ...stage.issuer.claimsOf("steady-1"), roles: ["Gateway.Admin"] });
    return `Bearer ${base64url('{"alg":"none","typ":"at+jwt"}')}.${base64url(claims)}.`;
  },
  "with claims changed": async (users) => {
    const [header, claims = "", signature] = ((await users.headers("steady-1")).authorization ?? "")
      .slice(7)
      .split(".");
    const changed = { ...JSON.parse(Buffer.from(claims, "base64url").toString()), roles: ["Gateway.Admin"] };
    return `Bearer ${header}.${base64url(JSON.stringify(changed))}.${signature}`;
  },
  "of a stolen bound token without its proof": async (users) =>
    `Bearer ${((await users.provenHeaders("prover-1")).authorization ?? "").slice(5)}`,
};

interface Nonsense {
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly expects: readonly number[];
  readonly mayBeCut?: boolean;
}

const query = (text: string) => JSON.stringify({ query: text });

/** From somebody who is let in, which makes it worse. */
const NONSENSE: Readonly<Record<string, Nonsense>> = {
  "a body of 100 KB": { body: "x".repeat(OVERSIZE_BYTES), expects: [413], mayBeCut: true },
  "no JSON": { body: "{", expects: [400] },
  "a batch": { body: `[${ISSUE},${ISSUE}]`, expects: [400] },
  "a member twice": {
    body: `{"query":"{ viewer { permissions } }","query":"{ viewer { permissions } }"}`,
    expects: [400],
  },
  "a deep document": { body: query(`{ viewer ${"{ identity ".repeat(DEEP)}${"}".repeat(DEEP)} }`), expects: [400] },
  "many aliases": {
    body: query(`{ ${Array.from({ length: 60 }, (_, index) => `a${index}: viewer { permissions }`).join(" ")} }`),
    expects: [400],
  },
  "many tokens": { body: query(`{ viewer { ${"permissions ".repeat(2000)} } }`), expects: [400] },
  "a circle of fragments": {
    body: query("{ viewer { ...a } } fragment a on Viewer { ...b } fragment b on Viewer { ...a }"),
    expects: [400],
  },
  introspection: { body: query("{ __schema { types { name } } }"), expects: [400] },
  "another media type": { body: ISSUE, headers: { "content-type": "text/plain" }, expects: [415] },
  "a scope that nobody has": {
    body: query("mutation { issueAccessToken(input: { scopes: [EVERYTHING] }) { accessToken { token } } }"),
    expects: [400],
  },
  "two mutations": {
    body: query(
      "mutation { a: revokeAccessTokens(input: {}) { effectiveBy } b: revokeAccessTokens(input: {}) { effectiveBy } }",
    ),
    expects: [400],
  },
};

/** By a user without the permission, who names somebody else. */
const TRESPASSES = [
  "{ identities(first: 10) { nodes { id user { subject } } } }",
  "{ auditEvents(first: 10) { nodes { id } } }",
  "{ pendingServiceWork { action } }",
  'mutation { issueAccessToken(input: { identityId: "ID", scopes: [CHAT] }) { accessToken { token } } }',
  'mutation { revokeAccessTokens(input: { identityId: "ID" }) { effectiveBy } }',
  'mutation { deleteIdentity(input: { identityId: "ID" }) { deletedIdentityId } }',
  'mutation { suspendIdentity(input: { identityId: "ID" }) { identity { id } } }',
] as const;

export class Hostile {
  constructor(
    private readonly parts: Parts,
    private readonly users: Users,
  ) {}

  async forge(chance: Chance): Promise<void> {
    const kind = chance.pick(Object.keys(FORGERIES));
    const authorization = (await FORGERIES[kind]?.(this.users, this.parts)) ?? "";
    await this.#send(
      `a token ${kind}`,
      { headers: { ...(authorization && { authorization }) }, body: ISSUE },
      { expects: [401] },
    );
  }

  async nonsense(chance: Chance): Promise<void> {
    const kind = chance.pick(Object.keys(NONSENSE));
    const { body = "", headers = {}, ...attack } = NONSENSE[kind] ?? { body: "", expects: [] };
    await this.#send(kind, { headers: { ...(await this.users.headers("mallory")), ...headers }, body }, attack);
  }

  async trespass(chance: Chance): Promise<void> {
    const text = chance.pick(TRESPASSES).replace("ID", this.users.identities.get("steady-1")?.id ?? "none");
    await this.#send(
      "a trespass",
      { headers: await this.users.headers("mallory"), body: query(text) },
      { expects: [403] },
    );
  }

  /** The same proof twice, to two instances: the second is refused, whatever became of the first. */
  async replay(): Promise<void> {
    const { balancer, journal } = this.parts;
    const sent = { headers: await this.users.provenHeaders("prover-1"), body: query("{ viewer { permissions } }") };
    const first = await balancer.send(sent);
    if (first.outcome !== "answered" || first.status !== 200) return;
    const second = await balancer.send(sent);
    journal.count("hostile: a proof twice");
    // A Redis that was lost in between has forgotten the proof; for how long that can matter is in docs/reliability.md.
    const forgetful = journal.spells.some(({ kind, until }) => kind.startsWith("Redis") && until >= first.start);
    const why = judgeHostile(second, { expects: [401] }, journal);
    if (why !== undefined && !forgetful) journal.wrong(`a proof was taken twice: ${why}`);
  }

  /** Gives up in the middle of an answer, or before. */
  async abort(chance: Chance): Promise<void> {
    const signal = AbortSignal.timeout(chance.between(1, 80));
    const body = query(
      "mutation { issueAccessToken(input: { scopes: [CHAT, VOIP], forceNew: true }) { accessToken { token expiresOn } userErrors { code } } }",
    );
    const exchange = await this.parts.balancer.send({ headers: await this.users.headers("fickle"), body, signal });
    const { journal } = this.parts;
    journal.count(`given up: ${exchange.outcome === "aborted" ? "in time" : "too late"}`);
    // Whoever was too late is a user like any other, who asks for many new tokens.
    if (exchange.body?.errors?.[0]?.extensions?.code === "RATE_LIMITED") return;
    const verdict = judgeGood(exchange, journal, "making");
    if ("why" in verdict)
      journal[verdict.kind](`what was not given up in time, ${journal.since(exchange.start)}: ${verdict.why}`);
  }

  async #send(
    what: string,
    sent: { headers: Record<string, string>; body: string },
    attack: { expects: readonly number[]; mayBeCut?: boolean },
  ) {
    const exchange = await this.parts.balancer.send(sent);
    this.parts.journal.count(`hostile: ${what}`);
    const why = judgeHostile(exchange, attack, this.parts.journal);
    if (why !== undefined)
      this.parts.journal.wrong(`${what} at #${exchange.instance}, ${this.parts.journal.since(exchange.start)}: ${why}`);
  }
}

/** What the flood has come to. */
export interface Flood {
  taken: number;
  refused: number;
}

/** One user asks as fast as they can, for a while, again and again: they are held to their budget, and nobody else notices. */
export async function flood(parts: Parts, users: Users, atOnce: number, until: number): Promise<Flood> {
  const count: Flood = { taken: 0, refused: 0 };
  const body = query("{ viewer { permissions } }");
  const ask = async () => {
    for (; now() < until; await setTimeout(FLOOD_PAUSE_MS)) {
      const exchange = await parts.balancer.send({ headers: await users.headers("greedy"), body });
      parts.journal.count("hostile: a flood of one user");
      const code = `${exchange.body?.errors?.[0]?.extensions?.code} ${exchange.status}`;
      if (exchange.outcome !== "answered") {
        const why = judgeHostile(exchange, { expects: [] }, parts.journal);
        if (why !== undefined) parts.journal.wrong(`the flood: ${why}`);
        continue;
      }
      if (exchange.status === 200) count.taken += 1;
      else if (code === "RATE_LIMITED 429" && exchange.headers?.["retry-after"] !== undefined) count.refused += 1;
      else if (!mayBeTold(exchange, code, parts.journal)) parts.journal.wrong(`the flood was answered ${code}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, ask));
  return count;
}

const seconds = () => Math.floor(now() / 1000);

/** For raw connections: what is wrong with whatever came back. */
export function judgeRaw(journal: Journal, what: string, received: string): void {
  const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(received) ?? [];
  const body = parseBody(received.slice(received.indexOf("\r\n\r\n") + 4));
  if (status?.startsWith("5") && status !== "503") journal.wrong(`${what}: answered ${status}`);
  if (body?.data && Object.values(body.data).some((value) => value !== null))
    journal.wrong(`${what}: data was given away`);
}
