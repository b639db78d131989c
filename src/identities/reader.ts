import DataLoader from "dataloader";
import type { Call } from "../policy/call.js";
import { requirePermission } from "../policy/policy.js";
import type { IdentityPageQuery, IdentityStore } from "../store/identity-store.js";
import { type ApplicationUser, type Identity, type IdentityFilter, sameUser, userKey } from "./identity.js";

/** A statement has bounds on how long it may get. */
const MAX_BATCH = 100;

/**
 * One request's reads of identities: batched and remembered for that request, and each one checked against what the caller
 * may see. Their own identity anybody may; everybody's takes IDENTITY_READ.
 */
export class IdentityReader {
  readonly #identities: IdentityStore;
  readonly #call: Call;
  #idLoader: DataLoader<string, Identity | undefined> | undefined;
  #userLoader: DataLoader<ApplicationUser, Identity | undefined, string> | undefined;

  constructor(identities: IdentityStore, call: Call) {
    this.#identities = identities;
    this.#call = call;
  }

  // Most requests read nothing by them.
  get #byId() {
    this.#idLoader ??= loadById(this.#identities);
    return this.#idLoader;
  }

  get #byUser() {
    this.#userLoader ??= loadByUser(this.#identities);
    return this.#userLoader;
  }

  /** Null for one that does not exist and for one that the caller may not see, which are not told apart. */
  async byId(id: string): Promise<Identity | null> {
    const found = await this.#byId.load(id);
    return found !== undefined && this.#maySee(found) ? found : null;
  }

  /** The caller's own. Null while there is none that the service has made. */
  async own(): Promise<Identity | null> {
    const found = await this.#byUser.load(this.#call.caller);
    return found === undefined || found.communicationUserId === null ? null : found;
  }

  /** Throws FORBIDDEN, before anything is looked up, for a user that the caller may not see. */
  async byUser(user: ApplicationUser): Promise<Identity | null> {
    if (!sameUser(user, this.#call.caller)) this.#requireRead();
    return (await this.#byUser.load(user)) ?? null;
  }

  /** Throws FORBIDDEN for an id that is not the caller's own, whether it exists or not, unless the caller may see all. */
  async byCommunicationUserId(communicationUserId: string): Promise<Identity | null> {
    const own = await this.#byUser.load(this.#call.caller);
    if (own?.communicationUserId === communicationUserId) return own;
    this.#requireRead();
    return (await this.#identities.findByCommunicationUserId(communicationUserId)) ?? null;
  }

  async page(query: IdentityPageQuery): Promise<Identity[]> {
    this.#requireRead();
    return await this.#identities.page(query);
  }

  async count(filter: IdentityFilter): Promise<number> {
    this.#requireRead();
    return await this.#identities.count(filter);
  }

  #maySee({ user }: Identity): boolean {
    return this.#call.entitlements.permissions.has("IDENTITY_READ") || sameUser(user, this.#call.caller);
  }

  #requireRead(): void {
    requirePermission(this.#call.entitlements, "IDENTITY_READ");
  }
}

function loadById(identities: IdentityStore): DataLoader<string, Identity | undefined> {
  return new DataLoader(
    async (ids) => {
      const found = new Map((await identities.findByIds(ids)).map((identity) => [identity.id, identity]));
      return ids.map((id) => found.get(id));
    },
    { maxBatchSize: MAX_BATCH },
  );
}

function loadByUser(identities: IdentityStore): DataLoader<ApplicationUser, Identity | undefined, string> {
  return new DataLoader(
    async (users) => {
      const found = await identities.findByUsers(users);
      return users.map((user) => found.find((identity) => sameUser(identity.user, user)));
    },
    { maxBatchSize: MAX_BATCH, cacheKeyFn: userKey },
  );
}
