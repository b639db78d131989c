import type { CallAudit } from "../audit/log.js";
import type { MappingStore, NewMapping, Standing } from "../store/mapping-store.js";
import { type ApplicationUser, type Identity, sameUser, userKey } from "./identity.js";
import { newIdentityId } from "./ids.js";
import { type Mapping, MappingRefused } from "./mapping.js";

/** How often what has changed meanwhile is looked at again. */
const MOST_LOOKS = 4;

interface AdoptionParts {
  /** Where mappings go. */
  readonly mappings: MappingStore;
  /** What else counts as being there: of a dry run, the database that it leaves as it is. */
  readonly standing?: Pick<MappingStore, "findStanding"> | undefined;
  /** Undefined of a dry run, which has nothing to record. */
  readonly audit: CallAudit | undefined;
  readonly reason: string | null;
  /** The host of the resource that made the identities. */
  readonly resource: string;
  readonly now: () => number;
  readonly hashUser: (user: ApplicationUser) => string;
  /** Take users who were deleted here, too. */
  readonly allowErased: boolean;
}

/** `added`: it is in by now. `there`: it was in before, and stays as it is. */
export type Adopted = "added" | "there" | MappingRefused;

/**
 * Brings mappings in that somebody has already: the identity is not made but taken as it is. Whoever else gives the same user an
 * identity at the same time, the database has one of the two, and the other is told. Nothing that is there is changed.
 */
export class Adoption {
  readonly #parts: AdoptionParts;

  constructor(parts: AdoptionParts) {
    this.#parts = parts;
  }

  /** What became of each. Throws when the database or the trail is away: those that are in stay in. */
  async adopt(mappings: readonly Mapping[]): Promise<ReadonlyMap<Mapping, Adopted>> {
    const results = new Map<Mapping, Adopted>(mappings.map((mapping) => [mapping, CHANGING]));
    let left = mappings;
    // One that has a user or an identity of another before it waits for what becomes of that.
    while (left.length > 0) {
      const first = withoutRepeats(left);
      await this.#adoptDistinct(first, results);
      const done = new Set(first);
      left = left.filter((mapping) => !done.has(mapping));
    }
    return results;
  }

  async #adoptDistinct(mappings: readonly Mapping[], results: Map<Mapping, Adopted>): Promise<void> {
    let open = mappings;
    for (let looks = 0; looks < MOST_LOOKS && open.length > 0; looks++) {
      const standing = await this.#findStanding(open);
      const plans = open.map((mapping) => ({ mapping, plan: this.#plan(mapping, standing) }));
      for (const { mapping, plan } of plans) if (!isNew(plan)) results.set(mapping, plan);
      const wanted = plans.flatMap(({ mapping, plan }) => (isNew(plan) ? [{ mapping, plan }] : []));
      const added = await this.#carryOut(
        wanted.map(({ mapping, plan }) => ({ ...plan, row: { ...mapping, ...plan } })),
      );
      for (const { mapping, plan } of wanted) if (added.has(plan.identityId)) results.set(mapping, "added");
      open = wanted.flatMap(({ mapping, plan }) => (added.has(plan.identityId) ? [] : [mapping]));
    }
  }

  async #findStanding(mappings: readonly Mapping[]): Promise<Standing> {
    const { mappings: store, standing, hashUser } = this.#parts;
    const asked = {
      users: mappings.map(({ user }) => user),
      communicationUserIds: mappings.map(({ communicationUserId }) => communicationUserId),
      userHashes: mappings.map(({ user }) => hashUser(user)),
    };
    const [own, other] = [await store.findStanding(asked), await standing?.findStanding(asked)];
    if (other === undefined) return own;
    return { ...other, identities: [...own.identities, ...other.identities] };
  }

  #plan(mapping: Mapping, standing: Standing): Plan {
    const { user, communicationUserId } = mapping;
    const ofId = standing.identities.find((identity) => identity.communicationUserId === communicationUserId);
    const ofUser = standing.identities.find((identity) => sameUser(identity.user, user));
    if (ofUser?.status === "DELETING" || ofId?.status === "DELETING" || standing.deleting.has(communicationUserId)) {
      return BEING_DELETED;
    }
    if (ofId !== undefined) return ofId === ofUser ? "there" : TAKEN;
    if (ofUser !== undefined && ofUser.communicationUserId !== null) return hasAnother(ofUser);
    if (ofUser !== undefined) return { identityId: ofUser.id, isRow: true };
    if (!this.#parts.allowErased && standing.erased.has(this.#parts.hashUser(user))) return ERASED;
    return { identityId: newIdentityId(), isRow: false };
  }

  /** The intent, the change, the outcome. The ids of the rows that have their identity now. */
  async #carryOut(wanted: readonly Wanted[]): Promise<ReadonlySet<string>> {
    const { mappings, audit, reason, resource, now } = this.#parts;
    const record = async (phase: "intent" | "outcome", ids: Iterable<string>) => {
      await Promise.all([...ids].map((identityId) => audit?.[phase]("IDENTITY_PROVISIONED", { identityId, reason })));
    };
    await record(
      "intent",
      wanted.map(({ identityId }) => identityId),
    );
    const rows = wanted.filter(({ isRow }) => !isRow).map(({ row }) => row);
    const changed = new Set(await mappings.add(rows, resource, now()));
    for (const { row, isRow } of wanted) if (isRow && (await this.#fill(row))) changed.add(row.identityId);
    await record("outcome", changed);
    return changed;
  }

  async #fill(row: NewMapping): Promise<boolean> {
    const { mappings, standing, resource, now } = this.#parts;
    // Of a dry run the row is elsewhere.
    if (standing !== undefined) return (await mappings.add([row], resource, now())).has(row.identityId);
    return await mappings.fill(row, resource, now());
  }
}

/** What to make of a mapping: a row of its own, or one that is there and has no identity yet. */
interface NewRow {
  readonly identityId: string;
  readonly isRow: boolean;
}
interface Wanted extends NewRow {
  readonly row: NewMapping;
}
type Plan = NewRow | "there" | MappingRefused;

function isNew(plan: Plan): plan is NewRow {
  return typeof plan === "object" && "identityId" in plan;
}

/** Those that share neither their user nor their identity with one before them. */
function withoutRepeats(mappings: readonly Mapping[]): Mapping[] {
  const seen = new Set<string>();
  return mappings.filter(({ user, communicationUserId }) => {
    const keys = [userKey(user), communicationUserId];
    const isFirst = keys.every((key) => !seen.has(key));
    for (const key of keys) seen.add(key);
    return isFirst;
  });
}

function hasAnother({ communicationUserId }: Identity): MappingRefused {
  const cure =
    "leave the row out; or delete the user's identity here first, which deletes it at the service with its chats";
  return new MappingRefused("USER_HAS_ANOTHER", `the user has the identity ${communicationUserId}`, cure);
}

const TAKEN = new MappingRefused(
  "ID_OF_ANOTHER_USER",
  "another user has the identity, here or in a row before",
  "find out whose it is, and leave the other out: an identity is of one user",
);
const BEING_DELETED = new MappingRefused(
  "BEING_DELETED",
  "the user's identity here, or this identity, is being deleted",
  "run it again when the deletion is done; the identity itself will be gone by then",
);
const ERASED = new MappingRefused(
  "USER_ERASED",
  "the user was deleted here, and is not brought back by a list",
  "leave the row out, or bring such users in with --allow-erased",
);
const CHANGING = new MappingRefused(
  "CHANGED_MEANWHILE",
  "the user's identity was being made or deleted at the same time",
  "run it again",
);
