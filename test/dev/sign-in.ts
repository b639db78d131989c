/** A user at the development issuer's page, without a browser. */

/** Opens the page and sends one of its forms. */
export async function choose(authorizationUrl: URL, choice: Readonly<Record<string, string>>): Promise<Response> {
  const page = await fetch(authorizationUrl, { redirect: "manual" });
  const [, action] = /<form method="post" action="([^"]+)"/.exec(await page.text()) ?? [];
  if (action === undefined) throw new Error(`no form on a page with status ${page.status}`);
  const target = new URL(action.replaceAll("&amp;", "&"), authorizationUrl);
  return await fetch(target, { method: "POST", body: new URLSearchParams(choice), redirect: "manual" });
}

/** Where the user is sent back to. */
export function locationOf(response: Response): URL {
  const location = response.headers.get("location");
  if (response.status !== 303 || location === null) throw new Error(`no redirect, but ${response.status}`);
  return new URL(location);
}
