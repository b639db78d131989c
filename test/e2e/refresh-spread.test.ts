import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, Rig } from "../fixtures/rig.js";
import { ExchangeTeamsUserTokenDocument, IssueAccessTokenDocument } from "../generated/graphql.js";

const GUID = "11111111-2222-3333-4444-555555555555";
/** Clients return in this part of what their tokens have left, where that is more than an hour. */
const [EARLIEST, LATEST] = [0.5, 0.75];
/** Stands still, so that only chance tells one answer from the next. */
const NOW = Date.now();
const clocks = { now: () => NOW, elapsed: () => performance.now() };

interface Times {
  readonly expiresOn: string;
  readonly refreshAfter: string;
}

async function issue(client: Client, how: { readonly forceNew?: boolean } = {}): Promise<Times> {
  const { issueAccessToken } = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"], ...how });
  return issueAccessToken.accessToken ?? expect.fail("no token");
}

async function exchange(client: Client): Promise<Times> {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { oid: GUID, appid: GUID, exp: Math.floor(NOW / 1000) + 3 * 3600 };
  const teamsUserAadToken = `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}.${part({})}`;
  const variables = { teamsUserAadToken, clientId: GUID, userObjectId: GUID };
  const { exchangeTeamsUserToken } = await client.ask(ExchangeTeamsUserTokenDocument, variables);
  return exchangeTeamsUserToken.accessToken ?? expect.fail("no token");
}

/** When the client is to return, as a share of what its token has left. */
const shareOf = ({ expiresOn, refreshAfter }: Times) =>
  (Date.parse(refreshAfter) - NOW) / (Date.parse(expiresOn) - NOW);

describe("the time at which a client is to return is drawn", () => {
  let drawn = 0;
  let rig: Rig;
  let client: Client;
  beforeAll(async () => {
    rig = await Rig.start({ ...clocks, random: () => drawn });
    client = await rig.member();
    await issue(client);
  });
  afterAll(() => rig.close());

  it.each<[string, (client: Client) => Promise<Times>]>([
    ["the first token of a user", async () => await issue(await rig.member(`newcomer-${drawn}`))],
    ["a token that is minted", (known) => issue(known, { forceNew: true })],
    ["a token that was kept", (known) => issue(known)],
    ["a token for a Teams user's", exchange],
  ])("from a quarter of what is left of %s", async (_, ask) => {
    drawn = 0;
    expect(shareOf(await ask(client))).toBeCloseTo(EARLIEST, 6);
    drawn = 0.99;
    expect(shareOf(await ask(client))).toBeCloseTo(EARLIEST + 0.99 * (LATEST - EARLIEST), 6);
  });
});

describe("a gateway that is left to its own chance", () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await Rig.start(clocks);
  });
  afterAll(() => rig.close());

  it("does not tell all who get the same token the same time", async () => {
    const client = await rig.member();
    await issue(client);
    const answers: Times[] = [];
    for (let count = 0; count < 20; count++) answers.push(await issue(client));
    expect(new Set(answers.map(({ expiresOn }) => expiresOn)).size).toBe(1);
    expect(new Set(answers.map(({ refreshAfter }) => refreshAfter)).size).toBeGreaterThan(10);
    for (const answer of answers) {
      expect(shareOf(answer)).toBeGreaterThanOrEqual(EARLIEST);
      expect(shareOf(answer)).toBeLessThanOrEqual(LATEST);
    }
  });
});
