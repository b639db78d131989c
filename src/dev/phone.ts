/** The phone example of `examples/phone-web`, served as it is, with the built client package beside it. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, extname, join } from "node:path";
import { type Answer, json } from "../http/answer.js";
import type { Handler, Routes } from "../http/routes.js";
import { onLoopback } from "./loopback.js";

export const PHONE_PATH = "/examples/phone";

const CLIENT_ID = "phone-web";
const CONTENT_TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
};

/** The page and its files. Undefined where they are not there, as in an installation without the examples. */
export function phoneRoutes(issuer: string): Routes | undefined {
  const root = projectFolder();
  const [page, client] = [join(root, "examples/phone-web"), join(root, "dist/client")];
  if (![page, client].every((folder) => existsSync(folder))) return undefined;
  const settings = { gateway: "/graphql", issuer, clientId: CLIENT_ID };
  return new Map<string, Handler>([
    ...filesOf(page, PHONE_PATH, issuer),
    ...filesOf(client, `${PHONE_PATH}/client`, issuer),
    [PHONE_PATH, onLoopback(async () => file(join(page, "index.html"), issuer))],
    [`${PHONE_PATH}/settings.json`, onLoopback(async () => json(200, settings))],
  ]);
}

/** Whether this runs from its source or bundled; where the program is alone, its own folder. */
function projectFolder(): string {
  try {
    return dirname(createRequire(import.meta.url).resolve("acs-token-gateway/package.json"));
  } catch {
    return import.meta.dirname;
  }
}

function filesOf(folder: string, path: string, issuer: string): [string, Handler][] {
  const names = readdirSync(folder).filter((name) => extname(name) in CONTENT_TYPES);
  return names.map((name) => [`${path}/${name}`, onLoopback(async () => file(join(folder, name), issuer))]);
}

/** Nothing from elsewhere is loaded, and nobody else is asked but the gateway and the issuer. */
function file(path: string, issuer: string): Answer {
  const policy = `default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ${issuer}; img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'`;
  return {
    status: 200,
    headers: { "content-type": CONTENT_TYPES[extname(path)], "content-security-policy": policy },
    body: readFileSync(path),
  };
}
