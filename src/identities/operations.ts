import type { Call } from "../policy/call.js";
import { requirePermission } from "../policy/policy.js";
import type { AttemptStore } from "../store/attempt-store.js";
import type { WorkStore } from "../store/work-store.js";
import type { ProvisioningAttempt } from "./provisioning-attempt.js";
import type { ServiceWork } from "./service-work.js";

interface OperationsParts {
  readonly attempts: AttemptStore;
  readonly work: WorkStore;
  readonly now: () => number;
}

/** What operators have to know of what is not as it should be. Each needs IDENTITY_READ. */
export class Operations {
  readonly #parts: OperationsParts;

  constructor(parts: OperationsParts) {
    this.#parts = parts;
  }

  /** Newest first. */
  async attemptsInDoubt(call: Call, limit: number): Promise<ProvisioningAttempt[]> {
    requirePermission(call.entitlements, "IDENTITY_READ");
    return await this.#parts.attempts.inDoubt(limit, this.#parts.now());
  }

  /** Oldest first. */
  async pendingWork(call: Call, limit: number): Promise<ServiceWork[]> {
    requirePermission(call.entitlements, "IDENTITY_READ");
    return await this.#parts.work.pending(limit);
  }
}
