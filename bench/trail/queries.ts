/** What can be asked of the trail: every filter that has its own way to be read, each by every kind of page and counted. */
import { type AuditFilter, type AuditPosition, TOKENS } from "../../src/audit/query.js";
import { recordId } from "../../src/audit/record.js";
import type { AuditReader } from "../../src/store/audit-reader.js";
import {
  actorOf,
  below,
  DAY_MS,
  identityOf,
  type Random,
  someFingerprint,
  someId,
  someUser,
  timeOf,
} from "./events.js";

/** As the API reads a full page: one more tells whether there is a next one. */
const PAGE = 101;
/** As the API counts. */
const MOST_COUNTED = 100_000;

/** A trail to ask, and what there is in it. */
export interface Asked {
  readonly reader: AuditReader;
  readonly records: number;
}

export type Query = (asked: Asked, random: Random) => Promise<unknown>;
type FilterOf = (records: number, random: Random) => AuditFilter;

const someIdentity = (records: number, random: Random) => identityOf(someUser(records, random));
const someActor = (records: number, random: Random) => actorOf(someUser(records, random));
const someDay = (records: number, random: Random) => {
  const since = timeOf(Math.max(0, below(records, random) - 10_000));
  return { since, until: since + DAY_MS };
};

const FILTERS: Readonly<Record<string, FilterOf>> = {
  everything: () => ({}),
  "a frequent action": () => ({ action: ["TOKEN_REUSED"] }),
  "a rare action": () => ({ action: ["IDENTITY_DELETED"] }),
  "two actions": () => ({ action: ["TOKEN_REFUSED", "TOKENS_REVOKED"] }),
  "an identity": (...of) => ({ identityId: someIdentity(...of) }),
  "an identity, an action": (...of) => ({ identityId: someIdentity(...of), action: ["TOKEN_REFUSED"] }),
  "an identity's tokens": (...of) => ({ identityId: someIdentity(...of), ...TOKENS }),
  "an actor": (...of) => ({ actor: someActor(...of) }),
  "an operator": () => ({ actor: { ...actorOf(0), subject: "operator-1" } }),
  "an actor, an action": (...of) => ({ actor: someActor(...of), action: ["TOKEN_ISSUED"] }),
  "an operator, an identity": (...of) => ({
    actor: { ...actorOf(0), subject: "operator-1" },
    identityId: someIdentity(...of),
  }),
  "a fingerprint": (records, random) => ({ tokenFingerprint: someFingerprint(someUser(records, random), random) }),
  "a day": someDay,
  "a day, an action": (...of) => ({ ...someDay(...of), action: ["TOKEN_ISSUED"] }),
  "a day, an identity": (...of) => ({ ...someDay(...of), identityId: someIdentity(...of) }),
};

const somewhere = (records: number, random: Random): AuditPosition => ({
  value: timeOf(below(records, random)),
  id: "",
});
const page = { limit: PAGE, backward: false };

const SHAPES: Readonly<Record<string, (filterOf: FilterOf) => Query>> = {
  "first page": (of) => (asked, random) => asked.reader.page({ ...page, filter: of(asked.records, random) }),
  "page in the middle": (of) => (asked, random) =>
    asked.reader.page({ ...page, filter: of(asked.records, random), after: somewhere(asked.records, random) }),
  "last page": (of) => (asked, random) =>
    asked.reader.page({ ...page, filter: of(asked.records, random), backward: true }),
  "page in the middle, backward": (of) => (asked, random) =>
    asked.reader.page({
      limit: PAGE,
      backward: true,
      filter: of(asked.records, random),
      before: somewhere(asked.records, random),
    }),
  count: (of) => (asked, random) => asked.reader.count(of(asked.records, random), MOST_COUNTED),
};

const OTHERS: Readonly<Record<string, Query>> = {
  "activity of a day by hour": ({ reader, records }, random) =>
    reader.activity({ ...someDay(records, random), bucket: "HOUR" }),
  "100 records by id": ({ reader, records }, random) =>
    reader.findByIds(Array.from({ length: 100 }, () => recordId(someId(records, random)))),
};

export const QUERIES: ReadonlyMap<string, Query> = new Map([
  ...Object.entries(FILTERS).flatMap(([filter, of]) =>
    Object.entries(SHAPES).map(([shape, make]): [string, Query] => [`${filter}: ${shape}`, make(of)]),
  ),
  ...Object.entries(OTHERS),
]);
