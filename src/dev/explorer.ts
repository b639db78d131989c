/**
 * The API explorer of `dev`: GraphiQL from its npm package, with nothing from elsewhere, and a caller token filled in. It
 * hands out that token to whoever can open it, so it answers to this machine and to loopback names only (a page elsewhere that gets
 * its own name to point here is refused).
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Answer } from "../http/answer.js";
import type { Handler, Routes } from "../http/routes.js";
import { onLoopback } from "./loopback.js";

const ASSETS: readonly (readonly [path: string, packageName: string, file: string])[] = [
  ["/explorer/react.js", "react", "umd/react.production.min.js"],
  ["/explorer/react-dom.js", "react-dom", "umd/react-dom.production.min.js"],
  ["/explorer/graphiql.js", "graphiql", "graphiql.min.js"],
  ["/explorer/graphiql.css", "graphiql", "graphiql.min.css"],
  ["/explorer/graphql-sse.js", "graphql-sse", "umd/graphql-sse.min.js"],
];

const FIRST_QUERY = `# A communication token for whoever the header below names.
# Press the play button, or Ctrl-Enter.
mutation IssueAccessToken {
  issueAccessToken(input: { scopes: [CHAT, VOIP] }) {
    accessToken {
      token
      expiresOn
      refreshAfter
      scopes
      identity { id communicationUserId status }
    }
    userErrors { code message path retryAfterSeconds }
  }
}
`;

/**
 * The page at `/` and its files. `token` makes the caller token for each opening of the page. Undefined where the packages
 * are missing, as in an installation without development dependencies.
 */
export function explorerRoutes(token: () => Promise<string>): Routes | undefined {
  if (!ASSETS.every(([, packageName]) => isInstalled(packageName))) return undefined;
  const routes = new Map<string, Handler>([["/", onLoopback(async () => page(await token()))]]);
  for (const [path, packageName, file] of ASSETS) routes.set(path, onLoopback(asset(packageName, file)));
  return routes;
}

function asset(packageName: string, file: string): () => Promise<Answer> {
  return async () => {
    const contentType = file.endsWith(".css") ? "text/css; charset=utf-8" : "text/javascript; charset=utf-8";
    return {
      status: 200,
      headers: { "content-type": contentType },
      body: readFileSync(join(packageFolder(packageName), file)),
    };
  };
}

function isInstalled(packageName: string): boolean {
  try {
    packageFolder(packageName);
    return true;
  } catch {
    return false;
  }
}

function packageFolder(packageName: string): string {
  return dirname(createRequire(import.meta.url).resolve(`${packageName}/package.json`));
}

function page(token: string): Answer {
  const nonce = crypto.randomUUID();
  return {
    status: 200,
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": `default-src 'self'; script-src 'self' 'nonce-${nonce}'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; frame-ancestors 'none'`,
      "referrer-policy": "no-referrer",
    },
    body: html(nonce, { query: FIRST_QUERY, headers: JSON.stringify({ authorization: `Bearer ${token}` }, null, 2) }),
  };
}

function html(nonce: string, initial: { query: string; headers: string }): string {
  const settings = JSON.stringify(initial).replaceAll("<", "\\u003c");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>ACS Token Gateway</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/explorer/graphiql.css">
<style>body { margin: 0 } #explorer { height: 100vh }</style>
</head>
<body>
<div id="explorer">Loading the explorer …</div>
<script src="/explorer/react.js"></script>
<script src="/explorer/react-dom.js"></script>
<script src="/explorer/graphiql.js"></script>
<script src="/explorer/graphql-sse.js"></script>
<script nonce="${nonce}">
const { query, headers } = ${settings};
const url = "/graphql";
// GraphiQL gives no headers to a client of subscriptions, so each request has one with its own. What fails is shown and not repeated.
const fetcher = (params, options) => {
  const wsClient = graphqlSse.createClient({ url, headers: options?.headers ?? {}, retryAttempts: 0 });
  return GraphiQL.createFetcher({ url, wsClient })(params, options);
};
ReactDOM.createRoot(document.getElementById("explorer")).render(
  React.createElement(GraphiQL, {
    fetcher, headers, defaultHeaders: headers, defaultQuery: query,
    defaultEditorToolsVisibility: "headers", shouldPersistHeaders: false,
  }),
);
</script>
</body>
</html>
`;
}
