import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { hasChromium, launchChromium, WITHOUT_CHROMIUM } from "../fixtures/chromium.js";
import { Dev } from "../fixtures/dev.js";

describe.skipIf(!hasChromium)(`the phone example in a browser${WITHOUT_CHROMIUM}`, { timeout: 60_000 }, () => {
  let dev: Dev;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let complaints: string[];
  /** Communication tokens that the page was given. */
  let tokens: string[];
  let requests: string[];

  beforeAll(async () => {
    dev = await Dev.start();
    browser = await launchChromium();
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    await dev.close();
  });

  beforeEach(async () => {
    context = await browser.newContext({ viewport: { width: 320, height: 640 } });
    page = await context.newPage();
    [complaints, tokens, requests] = [[], [], []];
    page.on("pageerror", ({ message }) => complaints.push(message));
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("request", (request) => requests.push(`${request.method()} ${new URL(request.url()).pathname}`));
    page.on("response", async (response) => {
      const found = /"token":"([^"]+)"/.exec(await response.text().catch(() => ""));
      if (found?.[1]) tokens.push(found[1]);
    });
    await page.clock.install();
    await page.goto(`${dev.url}/examples/phone`);
  });
  afterEach(async () => {
    await context.close();
    // Such as what the page's own policy forbids.
    expect(complaints).toEqual([]);
  });

  async function signIn(user: string, { life }: { life?: string } = {}): Promise<void> {
    await page.click("#sign-in");
    await page.fill("input[name=subject][maxlength]", user);
    if (life !== undefined) await page.selectOption("select", life);
    await page.click("button.main");
    await page.waitForFunction(() => document.querySelector("#identity")?.textContent?.startsWith("8:acs:"));
    await expect.poll(() => tokens.length).toBe(1);
  }

  const notice = () => page.locator("#notice");
  const isActive = async (token: string | undefined) => {
    const body = JSON.stringify({ token });
    const answer = await fetch(`${dev.service}/_emulator/tokens/introspect`, { method: "POST", body });
    return ((await answer.json()) as { active: boolean }).active;
  };

  it("signs in, shows who the user is, what they may do and until when, and fits a narrow screen", async () => {
    await signIn("alice");
    expect(await page.textContent("#user")).toBe("alice");
    expect(await page.locator("#scopes li").allTextContents()).toEqual(["CHAT", "VOIP"]);
    expect(await page.textContent("#expires")).toMatch(/^23:59:\d\d$/);
    expect(await notice().isVisible()).toBe(false);
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth)).toBe(true);
    expect(new URL(page.url()).search).toBe("");
    expect(await isActive(tokens[0])).toBe(true);
  });

  it("stays signed in over a reload", async () => {
    await signIn("bob");
    await page.reload();
    await page.waitForFunction(() => document.querySelector("#user")?.textContent === "bob");
  });

  it("says in plain words what is refused, and goes on when that is changed", async () => {
    await signIn("carol");
    await page.check("input[value=CHAT_JOIN_LIMITED]");
    await page.click("#new-token");
    await notice().waitFor();
    expect(await notice().textContent()).toBe("You may not have all of that. Ask for less.");
    await page.uncheck("input[value=CHAT_JOIN_LIMITED]");
    await page.uncheck("input[value=VOIP]");
    await page.click("#new-token");
    await notice().waitFor({ state: "hidden" });
    expect(await page.locator("#scopes li").allTextContents()).toEqual(["CHAT"]);
    expect(new Set(tokens).size).toBe(2);
  });

  it("renews both tokens by itself: the caller's by the issuer, the user's by the gateway", async () => {
    await signIn("dave", { life: "60" });
    requests = [];
    await page.clock.fastForward("20:00:00");
    await expect.poll(() => requests).toEqual(expect.arrayContaining(["POST /oauth/token", "POST /graphql"]));
    expect(await notice().isVisible()).toBe(false);
  });

  it.each([
    ["the gateway", ["**/graphql"], "The service does not answer as it should."],
    ["the gateway and the issuer", ["**/graphql", "**/oauth/token"], "Your sign-in cannot be renewed just now."],
  ])("comes back by itself from an outage of %s that began after a new token", async (_, down, words) => {
    await signIn("grace");
    await page.click("#new-token");
    await expect.poll(() => tokens.length).toBe(2);
    await page.locator("#new-token:enabled").waitFor();
    for (const path of down) await page.route(path, (route) => route.fulfill({ status: 503 }));
    await page.clock.fastForward("20:00:00");
    await expect.poll(() => notice().textContent()).toContain(words);
    // Longer than somebody would wait for a first token.
    requests = [];
    for (let minutes = 0; minutes < 3; minutes++) {
      await page.clock.fastForward("01:00");
      await expect.poll(() => requests.length).toBeGreaterThan(minutes);
    }
    expect(tokens).toHaveLength(2);
    await page.unrouteAll();
    const later = async () => {
      await page.clock.fastForward("01:00");
      return tokens.length;
    };
    await expect.poll(later, { timeout: 10_000, interval: 200 }).toBeGreaterThan(2);
    await notice().waitFor({ state: "hidden" });
    complaints = complaints.filter((text) => !text.includes("status of 503"));
  });

  it("renews a caller token that lasts a minute, while nothing is asked of the gateway", async () => {
    await signIn("heidi", { life: "60" });
    requests = [];
    await page.clock.fastForward("01:10");
    await expect.poll(() => page.textContent("#caller")).toMatch(/^caller token: 00:00:5\d/);
    expect(requests).toContain("POST /oauth/token");
    expect(requests).not.toContain("POST /graphql");
  });

  it("signs out after five seconds of a network that hangs, and stays so when the answer comes after all", async () => {
    await signIn("ivan", { life: "60" });
    const held: (() => Promise<void>)[] = [];
    await page.route("**/oauth/token", (route) => void held.push(() => route.continue()));
    await page.clock.fastForward("01:10");
    await expect.poll(() => held.length).toBe(1);
    await page.click("#sign-out");
    expect(await page.locator("#signed-out").isVisible()).toBe(false);
    await page.clock.fastForward("00:05");
    await page.locator("#signed-out").waitFor();
    expect(await notice().textContent()).toBe("Signed out. Your last token ends by itself.");
    for (const release of held) await release().catch(() => {});
    await page.reload();
    await page.locator("#signed-out").waitFor();
  });

  it("tells a user who is locked out", async () => {
    await signIn("erin");
    const admin = await dev.token("ada", "Gateway.Admin");
    const list = '{ identities(first: 1, filter: { subjectPrefix: "erin" }) { nodes { id } } }';
    const { identities } = (await dev.ask(admin, list)) as unknown as { identities: { nodes: [{ id: string }] } };
    const suspend = "mutation ($id: ID!) { suspendIdentity(input: { identityId: $id }) { identity { id } } }";
    await dev.ask(admin, suspend, { id: identities.nodes[0].id });
    await page.click("#new-token");
    await notice().waitFor();
    expect(await notice().textContent()).toBe("You are locked out. Please contact your administrator.");
  });

  it("revokes at sign-out, and asks for nothing more", async () => {
    await signIn("frank");
    expect(await isActive(tokens[0])).toBe(true);
    await page.click("#sign-out");
    await page.locator("#signed-out").waitFor();
    expect(await notice().textContent()).toMatch(/^Signed out\. No token works after \d/);
    expect(await isActive(tokens[0])).toBe(false);
    requests = [];
    await page.clock.fastForward("24:00:00");
    await page.reload();
    await page.locator("#signed-out").waitFor();
    expect(requests.filter((request) => request.startsWith("POST"))).toEqual([]);
  });

  it("comes back from a sign-in that was cancelled, and takes no answer that it did not ask for", async () => {
    await page.click("#sign-in");
    await page.click("button[name=cancel]");
    await notice().waitFor();
    expect(await notice().textContent()).toBe("You have cancelled.");
    await page.goto(`${dev.url}/examples/phone?code=stolen&state=guessed&iss=${encodeURIComponent(dev.issuer)}`);
    await notice().waitFor();
    expect(await notice().textContent()).toBe("Please sign in again.");
    expect(requests).not.toContain("POST /oauth/token");
  });
});
