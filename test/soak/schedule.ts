/** What is broken when: decided by the seed alone, before anything runs. */
import { Chance } from "../faults/random.js";

type Code =
  | "STORE_UNAVAILABLE"
  | "AUDIT_UNAVAILABLE"
  | "DEADLINE_EXCEEDED"
  | "UPSTREAM_UNAVAILABLE"
  | "KEYS_UNAVAILABLE";

interface FaultAbout {
  /** Milliseconds, from and to, for which what it breaks is broken. */
  readonly lasts: readonly [number, number];
  /** What a good caller may be told meanwhile; anything else is a wrong answer. */
  readonly allows: readonly Code[];
  /** Of those, who may be told so. Left out: everybody. */
  readonly to?: CallerKind;
}

/**
 * - proving: with a key, and only Redis knows whether a proof was used before
 * - making: for an identity that may be just being made; whoever is killed at that leaves a lease behind
 * - stranger: by a key that the gateway does not know, of which only the issuer can say whether it is new
 */
export type CallerKind = "ordinary" | "proving" | "making" | "stranger";

const STORE = { allows: ["STORE_UNAVAILABLE", "AUDIT_UNAVAILABLE", "DEADLINE_EXCEEDED"] } as const;
const SERVICE = { allows: ["UPSTREAM_UNAVAILABLE", "DEADLINE_EXCEEDED"] } as const;
const REDIS = { allows: ["STORE_UNAVAILABLE"], to: "proving" } as const;
const KILLED = { allows: ["DEADLINE_EXCEEDED"], to: "making" } as const;
const ISSUER = { allows: ["KEYS_UNAVAILABLE"], to: "stranger" } as const;
const NOTHING = { allows: [] } as const;

export const FAULTS = {
  "Redis killed": { lasts: [1_000, 8_000], ...REDIS },
  "Redis restarted": { lasts: [0, 1_000], ...REDIS },
  "Redis frozen": { lasts: [2_000, 6_000], ...REDIS },
  "Postgres stopped at once": { lasts: [500, 6_000], ...STORE },
  "Postgres stopped in order": { lasts: [0, 4_000], ...STORE },
  "service killed": { lasts: [500, 8_000], ...SERVICE },
  "service slow": { lasts: [5_000, 10_000], ...SERVICE },
  "service paces (429)": { lasts: [3_000, 8_000], ...SERVICE },
  "service fails (5xx)": { lasts: [3_000, 10_000], ...SERVICE },
  "service cuts connections": { lasts: [2_000, 6_000], ...SERVICE },
  "gateways stopped one by one": { lasts: [0, 500], ...NOTHING },
  "gateway killed": { lasts: [0, 3_000], ...KILLED },
  "issuer changes its key": { lasts: [0, 0], ...NOTHING },
  "issuer refuses": { lasts: [4_000, 20_000], ...ISSUER },
  "issuer hangs": { lasts: [4_000, 20_000], ...ISSUER },
} as const satisfies Record<string, FaultAbout>;

export type FaultKind = keyof typeof FAULTS;

export const FAULT_KINDS = Object.keys(FAULTS) as readonly FaultKind[];

export interface PlannedFault {
  readonly kind: FaultKind;
  /** Of calm before it. */
  readonly quietMs: number;
  readonly lastsMs: number;
  /** Which of several it hits, 0 ≤ x < 1; and whatever else chance decides of it. */
  readonly target: number;
}

/** Between two faults: long enough to recover, and to see for a while that all is well. */
const QUIET_MS: readonly [number, number] = [22_000, 32_000];
/** Of all that a fault takes beside: stopping and starting. */
const TURN_MS = 3_000;
/** Left at the end without a fault. */
const END_MS = 30_000;

/** Every kind once before any comes twice, each time in another order. A short run has each once, shorter. */
export function scheduleOf(seed: number, minutes: number): PlannedFault[] {
  const chance = Chance.named(seed, "schedule");
  const wholeMs = minutes * 60_000;
  const kinds = FAULT_KINDS.length;
  const usual = (QUIET_MS[0] + QUIET_MS[1]) / 2 + TURN_MS + 4_000;
  const pace = Math.min(1, wholeMs / (kinds * usual + END_MS));
  const planned: PlannedFault[] = [];
  let left = wholeMs - END_MS * pace;
  while (left > 0 || planned.length < kinds) {
    for (const kind of shuffled(FAULT_KINDS, chance)) {
      const fault = {
        kind,
        quietMs: Math.round(pace * chance.between(...QUIET_MS)),
        lastsMs: Math.round(pace * chance.between(FAULTS[kind].lasts[0], FAULTS[kind].lasts[1])),
        target: chance.next(),
      };
      left -= fault.quietMs + fault.lastsMs + pace * TURN_MS;
      if (left < 0 && planned.length >= kinds) return planned;
      planned.push(fault);
    }
  }
  return planned;
}

function shuffled<Item>(items: readonly Item[], chance: Chance): Item[] {
  const mixed = items.map((item) => ({ item, order: chance.next() }));
  return mixed.sort((one, other) => one.order - other.order).map(({ item }) => item);
}
