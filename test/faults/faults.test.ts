import { describe, expect, it } from "vitest";
import { Callers } from "./callers.js";
import { Cluster } from "./cluster.js";
import { runRound } from "./round.js";
import { firstSeed, LEFT_OUT, SERVERS } from "./settings.js";

const SECONDS = 6;
/** A round waits for work that is tried again after pauses, and for the leases of the dead. */
const ROUND_LIMIT_MS = 300_000;

const seed = firstSeed();

async function holds(variant: { instances: number; servers: typeof SERVERS }): Promise<void> {
  process.stdout.write(`faults: seed ${seed}\n`);
  const { violations, summary } = await runRound({ ...variant, seed, seconds: SECONDS, freezes: false });
  expect(violations, `FAULT_SEED=${seed} replays it; ${summary}`).toEqual([]);
}

describe(`under kills and faults of the service, seed ${seed}, the invariants hold`, () => {
  it.skipIf(!SERVERS)(
    `for three processes on Postgres and Redis${LEFT_OUT}`,
    () => holds({ instances: 3, servers: SERVERS }),
    ROUND_LIMIT_MS,
  );

  it("for one process on SQLite", () => holds({ instances: 1, servers: undefined }), ROUND_LIMIT_MS);
});

describe("1000 concurrent calls of one new subject", () => {
  it.skipIf(!SERVERS)(
    `against three processes make one identity${LEFT_OUT}`,
    async () => {
      const cluster = await Cluster.start({
        instances: 3,
        servers: SERVERS,
        serviceTimeoutSeconds: 30,
        requestTimeoutSeconds: 120,
      });
      try {
        const callers = new Callers(cluster, ROUND_LIMIT_MS);
        const answers = await Promise.all(
          Array.from({ length: 1000 }, (_, call) =>
            callers.send({ action: "issue", by: "user", subject: "new", instance: call % 3, scopes: ["CHAT"] }),
          ),
        );
        expect(answers.filter(({ outcome }) => outcome !== "done")).toEqual([]);
        expect(new Set(answers.map(({ communicationUserId }) => communicationUserId)).size).toBe(1);
        expect(answers.every(({ token }) => token?.communicationUserId === answers[0]?.communicationUserId)).toBe(true);
        expect(await cluster.control("GET", "/calls")).toMatchObject({ calls: { createIdentity: 1 } });
        expect((await cluster.liveAtService()).size).toBe(1);
      } finally {
        await cluster.close();
      }
    },
    ROUND_LIMIT_MS,
  );
});
