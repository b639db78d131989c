import { setTimeout } from "node:timers/promises";
import type { CallAudit } from "../audit/log.js";
import type { IdentityStore } from "../store/identity-store.js";
import type { InventoryStore } from "../store/inventory-store.js";
import type { Eraser } from "./eraser.js";
import type { ApplicationUser, Identity, IdentityStatus } from "./identity.js";
import type { ServiceWork } from "./service-work.js";

/** Deletions that are asked for and wait for the service: enough for the worker, few to be left by an end in the middle. */
const MOST_WAITING = 40;
/** Deletions that the service does not carry out, beyond which there is no sense in asking for more. */
const MOST_STUCK = 200;
const PAGE = 100;
const LOOK_MS = 100;
/** A gateway that still serves makes new ones as fast as these go. */
const MOST_SWEEPS = 3;
/** How often the rest is counted, which takes a look at each. */
const TELL_MS = 1000;
/** How long nothing may happen before it is given up: longer than what a killed process holds is held. */
const PATIENCE_MS = 60_000;

interface TeardownParts {
  readonly inventory: InventoryStore;
  readonly identities: IdentityStore;
  readonly eraser: Eraser;
  readonly audit: CallAudit;
  readonly reason: string | null;
  /** Whose identities are to go. */
  readonly resource: string;
  /** Tries after which an identity is not waited for any more. */
  readonly mostTries: number;
  readonly now: () => number;
  readonly hashUser: (user: ApplicationUser) => string;
  readonly stopped: AbortSignal;
  /** Told again and again how many are left. */
  readonly observe: (left: number) => void;
}

const DELETABLE: readonly IdentityStatus[] = ["PROVISIONING", "ACTIVE", "SUSPENDED"];

/**
 * Deletes every identity of a resource, as `deleteIdentity` does one: declared in the row and recorded, then carried out at the
 * service by the worker, which has to be running. What is declared is carried out, by the next process if need be.
 */
export class Teardown {
  readonly #parts: TeardownParts;
  /** Of each deletion that waits, the tries that it had when it was first seen. */
  readonly #triesBefore = new Map<string, number>();
  #stuck: readonly ServiceWork[] = [];
  #toldAt = 0;

  constructor(parts: TeardownParts) {
    this.#parts = parts;
  }

  /** Those that the service would not delete. Ends when there is nothing left to wait for, or at the signal. */
  async run(): Promise<readonly ServiceWork[]> {
    for (let sweeps = 0; sweeps < MOST_SWEEPS; sweeps++) {
      await this.#deleteLive();
      await this.#deleteLost();
      if (!(await this.#drain())) break;
    }
    return this.#stuck;
  }

  async #deleteLive(): Promise<void> {
    const { inventory, resource } = this.#parts;
    let after = "";
    for (;;) {
      const page = await inventory.live(after, resource, PAGE);
      for (const identity of page) {
        if (!(await this.#hasRoom())) return;
        await this.#delete(identity);
        after = identity.id;
      }
      if (page.length === 0) return;
    }
  }

  async #deleteLost(): Promise<void> {
    const { inventory, resource, now } = this.#parts;
    for (;;) {
      const page = await inventory.lost(resource, PAGE);
      for (const lost of page) {
        if (!(await this.#hasRoom())) return;
        await inventory.deleteLost(lost, resource, now());
      }
      if (page.length === 0) return;
    }
  }

  async #delete({ id: identityId }: Identity): Promise<void> {
    const { identities, audit, reason, now, hashUser, eraser, stopped } = this.#parts;
    await audit.change("IDENTITY_DELETED", { identityId, reason }, () =>
      identities.delete(identityId, DELETABLE, now(), hashUser),
    );
    // What the outcome says as the reason came after it was erased.
    const current = await identities.findById(identityId);
    if (current?.status === "DELETED") await eraser.erase(identityId, () => !stopped.aborted);
  }

  /** Waits until the worker has little to do. False when there is no sense in asking for more. */
  async #hasRoom(): Promise<boolean> {
    for (;;) {
      const waiting = await this.#look();
      if (this.#parts.stopped.aborted || this.#stuck.length >= MOST_STUCK) return false;
      if (this.#parts.now() - this.#toldAt >= TELL_MS) await this.#tell();
      if (waiting < MOST_WAITING) return true;
      await this.#nap();
    }
  }

  /** Until all is done that can be. True when there are new ones. */
  async #drain(): Promise<boolean> {
    const { inventory, resource, stopped, now } = this.#parts;
    let last: number | undefined;
    let since = now();
    while (!stopped.aborted) {
      const waiting = await this.#look();
      const left = await this.#tell();
      if (waiting === 0 && left <= this.#stuck.length) return false;
      if (waiting === 0 && (await inventory.live("", resource, 1)).length > 0) return true;
      // An eraser that does its work tells nothing of it.
      if (left !== last || waiting > 0) since = now();
      last = left;
      if (now() - since > PATIENCE_MS) return false;
      await this.#nap();
    }
    return false;
  }

  /** How many deletions wait that may yet be carried out. */
  async #look(): Promise<number> {
    const { inventory, resource, mostTries } = this.#parts;
    const deletions = await inventory.deletions(resource, MOST_STUCK + MOST_WAITING);
    this.#stuck = deletions.filter(({ communicationUserId, tries }) => {
      const before = this.#triesBefore.get(communicationUserId) ?? tries;
      this.#triesBefore.set(communicationUserId, before);
      return tries - before >= mostTries;
    });
    const there = new Set(deletions.map(({ communicationUserId }) => communicationUserId));
    for (const id of this.#triesBefore.keys()) if (!there.has(id)) this.#triesBefore.delete(id);
    return deletions.length - this.#stuck.length;
  }

  async #tell(): Promise<number> {
    const { inventory, resource, observe } = this.#parts;
    const left = await inventory.countLeft(resource);
    this.#toldAt = this.#parts.now();
    observe(left);
    return left;
  }

  async #nap(): Promise<void> {
    await setTimeout(LOOK_MS, undefined, { signal: this.#parts.stopped }).catch(() => {});
  }
}
