import { describe, expect, it } from "vitest";
import { type Exchange, parseBody } from "./exchange.js";
import type { Absence } from "./journal.js";
import { type Circumstances, judgeGood, judgeHostile, RECOVERY_MS } from "./rules.js";
import type { FaultKind } from "./schedule.js";

const START = 1_000_000;
const END = START + 100;
const CALM: Circumstances = { spells: [], absences: [], stalls: [] };

const answer = (status: number, body: object, headers: Record<string, string> = {}): Exchange => {
  const text = JSON.stringify(body);
  const common = { outcome: "answered", instance: 1, start: START, end: END } as const;
  return { ...common, status, headers, text, body: parseBody(text) };
};
const error = (status: number, code: string, retryAfter?: number) =>
  answer(
    status,
    { errors: [{ message: "…", extensions: { code, retryable: status !== 500 } }] },
    retryAfter === undefined ? {} : { "retry-after": String(retryAfter) },
  );
const during = (kind: FaultKind, from = START - 1000, until = Number.POSITIVE_INFINITY): Circumstances => ({
  spells: [{ kind, from, until }],
  absences: [],
  stalls: [],
});
const away = (signal: Absence["signal"], from: number, until = Number.POSITIVE_INFINITY, instance = 1) => ({
  spells: [],
  absences: [{ instance, signal, from, until }],
  stalls: [],
});
const CUT: Exchange = { outcome: "cut", instance: 1, start: START, end: END };

describe("a good caller", () => {
  const kindOf = (exchange: Exchange, around: Circumstances, by: "ordinary" | "proving" | "making" = "ordinary") =>
    judgeGood(exchange, around, by).kind;

  it("is answered in calm times, and anything else is wrong", () => {
    expect(kindOf(answer(200, { data: { viewer: {} } }), CALM)).toBe("answered");
    for (const [status, code] of [
      [503, "STORE_UNAVAILABLE"],
      [401, "UNAUTHENTICATED"],
      [429, "RATE_LIMITED"],
      [500, "INTERNAL_SERVER_ERROR"],
    ] as const) {
      expect(kindOf(error(status, code, 5), CALM)).toBe("wrong");
    }
    expect(kindOf(answer(200, {}), CALM)).toBe("wrong");
  });

  it("may be told to come again by what fits what is broken, with the time to wait", () => {
    const database = during("Postgres stopped at once");
    expect(judgeGood(error(503, "STORE_UNAVAILABLE", 5), database, "ordinary")).toMatchObject({ kind: "again" });
    expect(kindOf(error(503, "STORE_UNAVAILABLE"), database)).toBe("wrong");
    expect(kindOf(error(500, "STORE_UNAVAILABLE", 5), database)).toBe("wrong");
    expect(kindOf(error(503, "UPSTREAM_UNAVAILABLE", 5), database)).toBe("wrong");
    expect(kindOf(error(500, "INTERNAL_SERVER_ERROR"), database)).toBe("wrong");
    expect(kindOf(error(401, "UNAUTHENTICATED"), database)).toBe("wrong");
    expect(kindOf(error(503, "KEYS_UNAVAILABLE", 5), during("issuer refuses"))).toBe("wrong");
  });

  it("without a key does not notice that Redis is away", () => {
    const redis = during("Redis killed");
    expect(kindOf(error(503, "STORE_UNAVAILABLE", 5), redis, "proving")).toBe("again");
    expect(kindOf(error(503, "STORE_UNAVAILABLE", 5), redis)).toBe("wrong");
  });

  it("is answered again when the time to recover is over", () => {
    const recovering = during("service killed", START - 60_000, START - RECOVERY_MS + 1000);
    const recovered = during("service killed", START - 60_000, START - RECOVERY_MS - 1000);
    expect(kindOf(error(503, "UPSTREAM_UNAVAILABLE", 5), recovering)).toBe("again");
    expect(kindOf(error(503, "UPSTREAM_UNAVAILABLE", 5), recovered)).toBe("wrong");
  });

  it("is cut by nobody but who is killed, or stopped before the request was there", () => {
    expect(kindOf(CUT, CALM)).toBe("wrong");
    expect(kindOf(CUT, away("SIGKILL", START + 50))).toBe("again");
    expect(kindOf(CUT, away("SIGKILL", START + 50, undefined, 2))).toBe("wrong");
    expect(kindOf(CUT, away("SIGKILL", START - 5000, START - 10))).toBe("wrong");
    expect(kindOf(CUT, away("SIGTERM", START + 10))).toBe("again");
    expect(kindOf({ ...CUT, end: START + 2000 }, away("SIGTERM", START + 1000))).toBe("lost");
  });

  it("is cut after 10 s when the run itself is not let run, which is told apart from the gateway's doing", () => {
    const slow = { ...CUT, end: START + 12_000 };
    const stalls = [{ from: START, until: START + 8000 }];
    expect(judgeGood(slow, { ...CALM, stalls }, "ordinary")).toMatchObject({
      kind: "again",
      told: expect.stringContaining("run itself"),
    });
    expect(kindOf(CUT, { ...CALM, stalls })).toBe("wrong");
  });

  it("may be told of time-outs where the machine lets nobody run, and of nothing else", () => {
    const stalls = [{ from: START - 2000, until: START - 500 }];
    const busy = { ...CALM, stalls };
    expect(judgeGood(error(503, "STORE_UNAVAILABLE", 5), busy, "ordinary")).toMatchObject({
      kind: "again",
      told: expect.stringContaining("too busy"),
    });
    expect(kindOf(error(401, "UNAUTHENTICATED"), busy)).toBe("wrong");
    expect(kindOf(error(500, "INTERNAL_SERVER_ERROR"), busy)).toBe("wrong");
    expect(
      kindOf(error(503, "STORE_UNAVAILABLE", 5), { ...busy, stalls: [{ from: START - 9000, until: START - 8000 }] }),
    ).toBe("wrong");
  });

  it("who gets no answer is lost", () => {
    expect(kindOf({ ...CUT, outcome: "unanswered" }, during("service killed"))).toBe("lost");
  });
});

describe("a hostile caller", () => {
  const attack = { expects: [401] };

  it("is refused as stated, or for having come too often", () => {
    expect(judgeHostile(error(401, "UNAUTHENTICATED"), attack, CALM)).toBeUndefined();
    expect(judgeHostile(error(429, "RATE_LIMITED", 5), attack, CALM)).toBeUndefined();
    expect(judgeHostile(error(400, "BAD_REQUEST"), attack, CALM)).toBeDefined();
    expect(judgeHostile(error(500, "INTERNAL_SERVER_ERROR"), attack, during("Postgres stopped at once"))).toBeDefined();
  });

  it("gets no data, no token and no silence", () => {
    expect(judgeHostile(answer(401, { data: { viewer: { id: 1 } } }), attack, CALM)).toContain("data was given away");
    expect(judgeHostile(answer(401, { message: "eyJh.eyJi.c" }), attack, CALM)).toContain("a token was given away");
    expect(judgeHostile({ ...CUT, outcome: "unanswered" }, attack, CALM)).toBeDefined();
  });

  it("may be cut off where that is the answer, and by nobody else", () => {
    expect(judgeHostile(CUT, { ...attack, mayBeCut: true }, CALM)).toBeUndefined();
    expect(judgeHostile(CUT, attack, CALM)).toBeDefined();
  });
});
