import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { isSound, reportOf } from "./report.js";
import { FAULT_KINDS } from "./schedule.js";
import { whyNoServers } from "./servers.js";
import { soak } from "./soak.js";

const LEFT_OUT = whyNoServers();
const LIMIT_MS = 480_000;

describe.skipIf(LEFT_OUT)(`a soak${LEFT_OUT}`, () => {
  it("of some seconds, in which each part is broken once, finds nothing lost and nothing wrong", {
    timeout: LIMIT_MS,
  }, async () => {
    const options = { minutes: 1 / 3, seed: 20, rate: 15, instances: 2 };
    const result = await soak(options);
    const report = reportOf(result, options, new Date());
    expect(result.journal.findings, report).toEqual([]);
    expect(isSound(result)).toBe(true);
    expect(new Set(result.journal.spells.map(({ kind }) => kind))).toEqual(new Set(FAULT_KINDS));
    expect(report).toContain("**0 requests lost, 0 wrong answers, and too short a run to see a leak.**");
  });

  it(
    "finds what is planted between callers and gateway: an answer of somebody else, one that never comes, and the like",
    async () => {
      const liar = await Liar.start();
      try {
        const options = { minutes: 0.12, seed: 3, rate: 30, instances: 2, calm: true, patienceMs: 6000 };
        const result = await soak({ ...options, urlThrough: (url) => liar.through(url) });
        expect(isSound(result)).toBe(false);
        const found = result.journal.findings.map(({ sort, what }) => `${sort}: ${what}`).join("\n");
        expect(found).toMatch(/wrong: steady-\d+ has identity .*, not /);
        expect(found).toMatch(/lost: .* of steady-\d+ .*no answer in any time/);
        expect(found).toMatch(/wrong: .*INTERNAL_SERVER_ERROR 500/);
        expect(found).toMatch(/wrong: .*UNAUTHENTICATED 401/);
        expect(found).toMatch(/wrong: .*a connection was cut, by nobody who was killed/);
        expect(found).toMatch(/wrong: a token .*data was given away/);
        expect(found).toMatch(/wrong: no token leaves without a record/);
        const report = reportOf(result, options, new Date());
        expect(report).not.toContain("**0 requests lost");
      } finally {
        await liar.close();
      }
    },
    LIMIT_MS,
  );
});

/** Stands before the gateways, and now and then changes what they say. */
class Liar {
  readonly #counts = new Map<string, number>();
  #remembered: string | undefined;

  private constructor(private readonly server: Server) {}

  static async start(): Promise<Liar> {
    const server = createServer();
    const liar = new Liar(server);
    server.on("request", (request, response) => void liar.#pass(request, response).catch(() => response.destroy()));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return liar;
  }

  through(url: string): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/${new URL(url).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const {
      authorization = "",
      dpop,
      "content-type": type = "",
    } = request.headers as Record<string, string | undefined>;
    const answer = await fetch(`http://127.0.0.1:${request.url?.slice(1)}/graphql`, {
      method: "POST",
      headers: { ...(authorization && { authorization }), ...(dpop && { dpop }), "content-type": type },
      body: await text(request),
    });
    const said = await answer.text();
    const lie = this.#lie(said, answer.status, subjectOf(authorization));
    if (lie === "silence") return;
    if (lie === "cut") {
      response.destroy();
      return;
    }
    const { status, body } = lie ?? { status: answer.status, body: said };
    response.writeHead(status, {
      "content-type": "application/json",
      "retry-after": answer.headers.get("retry-after") ?? "1",
    });
    response.end(body);
  }

  /** Each lie once in so many answers of its sort; the first answers are let through, so that everybody is known. */
  #lie(
    said: string,
    status: number,
    subject: string,
  ): { status: number; body: string } | "silence" | "cut" | undefined {
    if (status === 401 && this.#isTurn("refusal", 2)) return { status: 200, body: '{"data":{"viewer":{"id":"1"}}}' };
    if (!subject.startsWith("steady") || !said.startsWith('{"data":{"issueAccessToken":{"accessToken":{"token'))
      return undefined;
    const isFirstRound = (this.#counts.get("issue") ?? 0) < 150;
    const earlier = this.#remembered;
    this.#remembered ??= said;
    if (this.#isTurn("issue", 1) && isFirstRound) return undefined;
    if (this.#isTurn("silence", 60)) return "silence";
    if (this.#isTurn("cut", 15)) return "cut";
    if (this.#isTurn("another's", 6) && earlier) return { status: 200, body: earlier };
    if (this.#isTurn("internal", 7)) return error(500, "INTERNAL_SERVER_ERROR");
    if (this.#isTurn("nobody", 7)) return error(401, "UNAUTHENTICATED");
    return undefined;
  }

  #isTurn(what: string, every: number): boolean {
    const count = (this.#counts.get(what) ?? 0) + 1;
    this.#counts.set(what, count);
    return count % every === 0;
  }
}

const error = (status: number, code: string) => ({
  status,
  body: JSON.stringify({ errors: [{ message: "planted", extensions: { code, retryable: false } }] }),
});

function subjectOf(authorization: string): string {
  const claims = authorization.split(".")[1];
  return claims === undefined
    ? ""
    : String((JSON.parse(Buffer.from(claims, "base64url").toString()) as { sub?: string }).sub);
}
