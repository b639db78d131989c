import { randomBytes, randomUUID } from "node:crypto";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { settle } from "./database.js";
import { isGuid } from "./guid.js";

export const KEY_SLOTS = ["primary", "secondary"] as const;
export type KeySlot = (typeof KEY_SLOTS)[number];

/** `rotations` counts how often the slot got a new key: a token names the count it was issued under. */
export interface AccessKey {
  readonly slot: KeySlot;
  /** Base64, as in a connection string. */
  readonly value: string;
  readonly rotations: number;
}

export interface ResourceOptions {
  readonly resourceId?: string | undefined;
  readonly accessKey?: string | undefined;
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** The one Communication Services resource that is emulated: its id and its two access keys, both valid at any time. */
export class Resource {
  readonly id: string;
  readonly #store: StatementSync;
  readonly #keys = new Map<KeySlot, AccessKey>();

  constructor(database: DatabaseSync, options: ResourceOptions) {
    this.id = settleId(database, options.resourceId);
    this.#store = database.prepare("INSERT OR REPLACE INTO access_keys (slot, value, rotations) VALUES (?, ?, ?)");
    const select = database.prepare("SELECT value, rotations FROM access_keys WHERE slot = ?");
    for (const slot of KEY_SLOTS) {
      const row = select.get(slot);
      if (row === undefined) this.#keep({ slot, value: newKey(), rotations: 0 });
      else this.#keys.set(slot, { slot, value: String(row.value), rotations: Number(row.rotations) });
    }
    this.#usePrimary(options.accessKey);
  }

  accessKeys(): AccessKey[] {
    return [...this.#keys.values()];
  }

  accessKey(slot: KeySlot): AccessKey {
    const key = this.#keys.get(slot);
    if (key === undefined) throw new Error(`There is no ${slot} access key.`);
    return key;
  }

  /** Kills every token issued with the old key. */
  rotate(slot: KeySlot, value = newKey()): AccessKey {
    return this.#keep({ slot, value, rotations: this.accessKey(slot).rotations + 1 });
  }

  #keep(key: AccessKey): AccessKey {
    this.#store.run(key.slot, key.value, key.rotations);
    this.#keys.set(key.slot, key);
    return key;
  }

  #usePrimary(value: string | undefined): void {
    if (value === undefined || value === this.accessKey("primary").value) return;
    if (!BASE64.test(value)) throw new Error("accessKey is not base64. Give the key as in a connection string.");
    this.rotate("primary", value);
  }
}

function settleId(database: DatabaseSync, wanted: string | undefined): string {
  const given = wanted?.toLowerCase();
  if (given !== undefined && !isGuid(given)) {
    throw new Error(`resourceId "${wanted}" is not a GUID. Give one such as ${randomUUID()}, or leave it out.`);
  }
  const id = settle(database, "resourceId", given ?? randomUUID());
  if (given === undefined || given === id) return id;
  throw new Error(`The file belongs to resource ${id}, not ${given}. Leave resourceId out, or use another file.`);
}

function newKey(): string {
  return randomBytes(64).toString("base64");
}
