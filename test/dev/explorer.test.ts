import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasChromium, launchChromium, WITHOUT_CHROMIUM } from "../fixtures/chromium.js";
import { Dev } from "../fixtures/dev.js";

const SUBSCRIPTION = "subscription { auditEventAdded { node { action phase } } }";
const ISSUE = "mutation { issueAccessToken(input: { scopes: [CHAT] }) { accessToken { expiresOn } } }";

/** GraphiQL's editors are CodeMirror's, and so is what shows a result. */
const codeMirror = (place: string) => `document.querySelector("${place} .CodeMirror").CodeMirror`;
const EDITOR = codeMirror(".graphiql-query-editor");
const RESULT = codeMirror(".result-window");
const BUTTON = ".graphiql-execute-button";

describe.skipIf(!hasChromium)(`the explorer in a browser${WITHOUT_CHROMIUM}`, { timeout: 60_000 }, () => {
  let dev: Dev;
  let browser: Browser;
  let page: Page;
  const complaints: string[] = [];

  beforeAll(async () => {
    dev = await Dev.start();
    browser = await launchChromium();
    page = await browser.newPage();
    page.on("pageerror", ({ message }) => complaints.push(message));
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    await page.goto(dev.url);
    await page.waitForSelector(BUTTON);
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    await dev.close();
    // Such as what the page's own policy forbids.
    expect(complaints).toEqual([]);
  });

  const shown = async () => String(await page.evaluate(`${RESULT}.getValue()`));

  it("has its first request answered at one press", async () => {
    await page.click(BUTTON);
    await expect.poll(shown, { timeout: 15_000 }).toMatch(/"token": "eyJ/);
  });

  it("shows what a subscription brings, to the caller of its headers, until it is stopped", async () => {
    await page.evaluate(`${EDITOR}.setValue(${JSON.stringify(SUBSCRIPTION)})`);
    // It reads what was written a moment later.
    await expect.poll(() => page.evaluate(`${EDITOR}.documentAST.definitions[0].operation`)).toBe("subscription");
    const stream = page.waitForResponse((answer) => /event-stream/.test(answer.headers()["content-type"] ?? ""));
    await page.click(BUTTON);
    await stream;
    await dev.ask(await dev.token("bob"), ISSUE);
    await expect.poll(shown, { timeout: 15_000 }).toContain('"action": "TOKEN_ISSUED"');
    await page.click(BUTTON);
    await expect.poll(() => page.getAttribute(BUTTON, "aria-label")).toMatch(/^Execute/);
  });
});
