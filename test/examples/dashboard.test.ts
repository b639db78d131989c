import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Dev } from "../fixtures/dev.js";
import { TcpProxy } from "../fixtures/tcp-proxy.js";

/** The example as its page says to start it. */
class Dashboard {
  lines: string[] = [];
  stderr = "";
  readonly #child: ChildProcess;

  constructor(env: Readonly<Record<string, string>>) {
    const args = ["--import", "tsx", "examples/dashboard/dashboard.ts"];
    this.#child = spawn(process.execPath, args, { env: { PATH: process.env.PATH ?? "", ...env } });
    let begun = "";
    this.#child.stdout?.on("data", (chunk) => {
      const lines = `${begun}${chunk}`.split("\n");
      begun = lines.pop() ?? "";
      this.lines.push(...lines);
    });
    this.#child.stderr?.on("data", (chunk) => {
      this.stderr += chunk;
    });
  }

  /** Lines of the trail about tokens that this user got. */
  of(user: string): string[] {
    return this.lines.filter((line) => line.includes(`  TOKEN_ISSUED  OUTCOME  ${user}  `));
  }

  async ended(): Promise<number | null> {
    if (this.#child.exitCode === null) await once(this.#child, "exit");
    return this.#child.exitCode;
  }

  async stop(): Promise<void> {
    this.#child.kill();
    await once(this.#child, "exit");
  }
}

describe("the dashboard example", { timeout: 60_000 }, () => {
  let dev: Dev;
  let proxy: TcpProxy;
  beforeAll(async () => {
    dev = await Dev.start();
    proxy = await TcpProxy.start(new URL(dev.url));
  });
  afterAll(async () => {
    await proxy.close();
    await dev.close();
  });

  const start = (role: string) =>
    new Dashboard({
      GATEWAY_URL: `http://127.0.0.1:${proxy.port}/graphql`,
      TOKEN_URL: `${dev.issuer}/token.txt?subject=otto&roles=${role}`,
    });
  const issueTo = async (user: string, scope = "CHAT") =>
    await dev.ask(
      await dev.token(user),
      `mutation { issueAccessToken(input: { scopes: [${scope}], forceNew: true }) { userErrors { code } } }`,
    );

  it("lists each identity with its last token, then shows events as they come, those of an outage once and in order", async () => {
    await issueTo("alice", "VOIP");
    const dashboard = start("Gateway.Auditor");
    await expect
      .poll(() => dashboard.lines, { timeout: 20_000 })
      .toContainEqual(expect.stringMatching(/^alice {2}ACTIVE {2}VOIP 2\S+ until 2\S+$/));
    // It may not listen yet, and without an event it has no cursor; so until one is shown.
    await expect
      .poll(
        async () => {
          await issueTo("bob");
          return dashboard.of("bob").length;
        },
        { interval: 500, timeout: 20_000 },
      )
      .toBeGreaterThan(0);
    proxy.cut();
    await expect
      .poll(() => dashboard.lines, { timeout: 20_000 })
      .toContainEqual(expect.stringMatching(/^interrupted: /));
    for (const scope of ["CHAT", "VOIP", "CHAT_JOIN"]) await issueTo("carol", scope);
    proxy.mend();
    await expect.poll(() => dashboard.of("carol").length, { timeout: 20_000 }).toBe(3);
    await issueTo("dave");
    await expect.poll(() => dashboard.of("dave").length, { timeout: 20_000 }).toBe(1);
    expect(dashboard.of("carol").map((line) => line.split("  ")[4])).toEqual(["CHAT", "VOIP", "CHAT_JOIN"]);
    expect(dashboard.stderr).toBe("");
    await dashboard.stop();
  });

  it("ends with the reason when it may not look", async () => {
    const dashboard = start("Nobody");
    expect(await dashboard.ended()).toBe(1);
    expect(dashboard.stderr).toContain("This needs the permission IDENTITY_READ");
  });

  it("says what to set when nothing gives it a caller token", async () => {
    const dashboard = new Dashboard({ GATEWAY_URL: `${dev.url}/graphql`, TOKEN_URL: "http://127.0.0.1:1/token.txt" });
    expect(await dashboard.ended()).toBe(1);
    expect(dashboard.stderr).toContain("set TOKEN_URL to what answers an operator's, as text");
  });

  it("lets nothing in a name steer the terminal", async () => {
    await issueTo("eve\u001b[2J\u0007");
    const dashboard = start("Gateway.Auditor");
    await expect
      .poll(() => dashboard.lines, { timeout: 20_000 })
      .toContainEqual(expect.stringMatching(/^eve·\[2J· {2}/));
    await dashboard.stop();
  });
});
