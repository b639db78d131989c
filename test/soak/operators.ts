import type { Chance } from "../faults/random.js";
import {
  AuditEventsDocument,
  IdentitiesDocument,
  IdentityByUserDocument,
  IdentityTokenRecordsDocument,
  OperationsDocument,
  TokenActivityDocument,
} from "../generated/graphql.js";
import { now } from "./journal.js";
import type { Parts, Users } from "./users.js";

interface Page {
  readonly edges: readonly { readonly cursor: string; readonly node: Readonly<Record<string, unknown>> }[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

const PAGE = 50;
/** Of one walk. */
const MOST_PAGES = 6;
const HOUR_MS = 3_600_000;

/** Who reads about everybody: page after page, each of whatever instance. */
export class Operators {
  constructor(
    private readonly parts: Parts,
    private readonly users: Users,
  ) {}

  async walkIdentities(chance: Chance): Promise<void> {
    const prefix = chance.pick(["steady", "lively", "new"]);
    const orderBy = { field: "CREATED_AT", direction: chance.pick(["ASC", "DESC"]) };
    const nodes = await this.#walk("identities", IdentitiesDocument.toString(), {
      filter: { subjectPrefix: prefix },
      orderBy,
    });
    this.#checkOnce("identities", nodes);
    for (const { user } of nodes) {
      const subject = (user as { subject: string } | null)?.subject;
      if (subject?.startsWith(prefix) !== true) this.parts.journal.wrong(`identities of ${prefix}… has ${subject}`);
    }
    const times = nodes.map(({ createdAt }) => Date.parse(String(createdAt)));
    const ordered = [...times].sort((one, other) => (orderBy.direction === "ASC" ? one - other : other - one));
    if (times.join() !== ordered.join())
      this.parts.journal.wrong(`identities are not in the order ${orderBy.direction}`);
  }

  async walkAuditEvents(): Promise<void> {
    const nodes = await this.#walk("auditEvents", AuditEventsDocument.toString(), {});
    this.#checkOnce("auditEvents", nodes);
    const times = nodes.map(({ at }) => Date.parse(String(at)));
    if (times.some((at, index) => at > (times[index - 1] ?? Number.POSITIVE_INFINITY))) {
      this.parts.journal.wrong("auditEvents are not newest first");
    }
  }

  async tokenActivity(): Promise<void> {
    const until = new Date(now() + HOUR_MS).toISOString();
    const since = new Date(now() - HOUR_MS).toISOString();
    const data = await this.#read("tokenActivity", TokenActivityDocument.toString(), { since, until, bucket: "HOUR" });
    if (data === undefined) return;
    const buckets = data.tokenActivity as { issued: number; reused: number }[];
    const handedOut = buckets.reduce((sum, { issued, reused }) => sum + issued + reused, 0);
    if (handedOut === 0) this.parts.journal.wrong("tokenActivity knows of no token");
  }

  /** What is known of a user who never changes. */
  async lookUp(subject: string): Promise<void> {
    const known = this.users.identities.get(subject);
    if (known === undefined) return;
    const user = { issuer: this.parts.stage.issuer.url, subject };
    const data = await this.#read("identityByUser", IdentityByUserDocument.toString(), { user });
    const identity = data?.identityByUser as { id: string; communicationUserId: string } | null | undefined;
    if (identity === undefined) return;
    if (identity?.id !== known.id || identity.communicationUserId !== known.communicationUserId) {
      this.parts.journal.wrong(`identityByUser of ${subject} is ${identity?.id}, not ${known.id}`);
    }
  }

  async tokenRecords(subject: string): Promise<void> {
    const known = this.users.identities.get(subject);
    if (known === undefined) return;
    const query = IdentityTokenRecordsDocument.toString();
    const data = await this.#read("tokenRecords", query, { id: known.id, first: 10 });
    const node = data?.node as { tokenRecords: Page } | null | undefined;
    if (data && !node?.tokenRecords.edges.length)
      this.parts.journal.wrong(`${subject} has tokens, and no record of one`);
  }

  async pending(): Promise<void> {
    await this.#read("pending work", OperationsDocument.toString(), {});
  }

  async #walk(field: string, query: string, variables: object): Promise<Page["edges"][number]["node"][]> {
    const nodes: Page["edges"][number]["node"][] = [];
    let after: string | null = null;
    for (let pages = 0; pages < MOST_PAGES; pages++) {
      const data: Readonly<Record<string, unknown>> | undefined = await this.#read(field, query, {
        ...variables,
        first: PAGE,
        after,
      });
      if (data === undefined) return nodes;
      const page = data[field] as Page;
      nodes.push(...page.edges.map(({ node }) => node));
      if (!page.pageInfo.hasNextPage) return nodes;
      after = page.pageInfo.endCursor;
    }
    return nodes;
  }

  async #read(what: string, query: string, variables: object): Promise<Readonly<Record<string, unknown>> | undefined> {
    const body = await this.parts.caller.ask({
      what,
      subject: "admin",
      send: async () => ({ headers: await this.users.headers("admin"), body: JSON.stringify({ query, variables }) }),
    });
    return body?.data ?? undefined;
  }

  #checkOnce(field: string, nodes: readonly Readonly<Record<string, unknown>>[]): void {
    const ids = new Set(nodes.map(({ id }) => id));
    if (ids.size !== nodes.length)
      this.parts.journal.wrong(`${field}: one walk has ${nodes.length - ids.size} nodes twice`);
  }
}
