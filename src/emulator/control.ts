import { type Answer, jsonAnswer, NO_CONTENT } from "./answer.js";
import type { Calls } from "./calls.js";
import { badControlRequest, checkFields, flag, integer, oneOf, text } from "./control-input.js";
import { ServiceError } from "./errors.js";
import { type Faults, parseFault } from "./faults.js";
import { type JsonObject, type Received, readJson } from "./http.js";
import type { Identities, Identity } from "./identities.js";
import { LIMITED_CALLS, type RateLimits } from "./rate-limits.js";
import { KEY_SLOTS, type Resource } from "./resource.js";
import type { SigningKey } from "./signing-key.js";
import type { Tokens } from "./tokens.js";

/** What the control endpoints see and steer. */
export interface ControlParts {
  readonly resource: Resource;
  readonly identities: Identities;
  readonly tokens: Tokens;
  readonly signingKey: Promise<SigningKey>;
  readonly faults: Faults;
  readonly calls: Calls;
  readonly rateLimits: RateLimits;
  readonly connectionString: (accessKey: string) => string;
}

interface ControlRequest {
  readonly body: JsonObject;
  readonly query: URLSearchParams;
}

interface Route {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  readonly does: string;
  readonly handle: (request: ControlRequest, parts: ControlParts) => Answer | Promise<Answer>;
}

const ROOT = "/_emulator";
const DEFAULT_PAGE = 100;
const MAX_PAGE = 1_000;
const MAX_LIMIT = 1_000_000;

const ROUTES: readonly Route[] = [
  { method: "GET", path: ROOT, does: "what is here", handle: describe },
  { method: "GET", path: `${ROOT}/faults`, does: "the faults that wait for their calls", handle: listFaults },
  { method: "POST", path: `${ROOT}/faults`, does: "make the next calls of an operation go wrong", handle: addFault },
  { method: "DELETE", path: `${ROOT}/faults`, does: "forget the waiting faults", handle: clearFaults },
  { method: "GET", path: `${ROOT}/calls`, does: "calls by operation and outcome", handle: listCalls },
  { method: "DELETE", path: `${ROOT}/calls`, does: "count from zero", handle: resetCalls },
  {
    method: "GET",
    path: `${ROOT}/identities`,
    does: "identities, oldest first; ?after=&limit=",
    handle: listIdentities,
  },
  {
    method: "POST",
    path: `${ROOT}/tokens/introspect`,
    does: "is {token} still valid, and if not, why",
    handle: introspect,
  },
  { method: "POST", path: `${ROOT}/keys/rotate`, does: "a new {key}: primary or secondary", handle: rotateKey },
  { method: "GET", path: `${ROOT}/rate-limits`, does: "the rate limits", handle: showLimits },
  { method: "PUT", path: `${ROOT}/rate-limits`, does: "set {enabled, limits: {call: number}}", handle: changeLimits },
  { method: "GET", path: `${ROOT}/jwks`, does: "the key that signs the tokens", handle: publishKey },
];

export function isControlPath(path: string): boolean {
  return path === ROOT || path.startsWith(`${ROOT}/`);
}

/**
 * What the real service does not have: a way to see and to steer it. JSON in and out, and no authentication, so the
 * emulator belongs on loopback.
 */
export async function answerControl(received: Received, parts: ControlParts): Promise<Answer> {
  const path = received.path.replace(/\/$/, "");
  const route = ROUTES.find((candidate) => candidate.method === received.method && candidate.path === path);
  if (route === undefined) throw unknownRoute(received.method, path);
  return route.handle({ query: received.query, body: readJson(received.body) ?? {} }, parts);
}

function describe(_request: ControlRequest, { resource, identities }: ControlParts): Answer {
  return jsonAnswer(200, {
    what: "An emulator of the Azure Communication Services identity service, for development and tests.",
    resourceId: resource.id,
    identities: identities.count(),
    endpoints: ROUTES.map(({ method, path, does }) => ({ method, path, does })),
  });
}

function listFaults(_request: ControlRequest, { faults }: ControlParts): Answer {
  return jsonAnswer(200, { faults: faults.pending });
}

function addFault({ body }: ControlRequest, { faults }: ControlParts): Answer {
  const fault = parseFault(body);
  faults.add(fault);
  return jsonAnswer(201, fault);
}

function clearFaults(_request: ControlRequest, { faults }: ControlParts): Answer {
  faults.clear();
  return NO_CONTENT;
}

function listCalls(_request: ControlRequest, { calls }: ControlParts): Answer {
  return jsonAnswer(200, calls.counts);
}

function resetCalls(_request: ControlRequest, { calls }: ControlParts): Answer {
  calls.reset();
  return NO_CONTENT;
}

/** `next` is the `after` of the following page, and null on the last one. */
function listIdentities({ query }: ControlRequest, { identities }: ControlParts): Answer {
  const after = query.get("after") ?? undefined;
  if (after !== undefined && identities.find(after) === undefined) {
    throw badControlRequest(`"after" must be the id of an identity; ${after} is none.`);
  }
  const given = query.get("limit");
  const limit =
    integer({ limit: given === null ? DEFAULT_PAGE : Number(given) }, "limit", [1, MAX_PAGE]) ?? DEFAULT_PAGE;
  const page = identities.page(after, limit + 1);
  const shown = page.slice(0, limit);
  const next = page.length > limit ? (shown.at(-1)?.id ?? null) : null;
  return jsonAnswer(200, { ...identities.count(), identities: shown.map(toJson), next });
}

async function introspect({ body }: ControlRequest, { tokens }: ControlParts): Promise<Answer> {
  checkFields(body, ["token"]);
  const token = text(body, "token");
  if (token === undefined) throw badControlRequest('"token" is missing: give the token to look into.');
  return jsonAnswer(200, await tokens.introspect(token));
}

function rotateKey({ body }: ControlRequest, { resource, connectionString }: ControlParts): Answer {
  checkFields(body, ["key"]);
  const { slot, value } = resource.rotate(oneOf(body, "key", KEY_SLOTS));
  return jsonAnswer(200, { key: slot, accessKey: value, connectionString: connectionString(value) });
}

function showLimits(_request: ControlRequest, { rateLimits }: ControlParts): Answer {
  return jsonAnswer(200, rateLimits.settings);
}

function changeLimits({ body }: ControlRequest, { rateLimits }: ControlParts): Answer {
  checkFields(body, ["enabled", "limits"]);
  const given = body.limits ?? {};
  if (typeof given !== "object" || Array.isArray(given)) throw badControlRequest('"limits" must be an object.');
  checkFields(given as JsonObject, LIMITED_CALLS);
  const limits = Object.fromEntries(
    Object.keys(given).map((call) => [call, integer(given as JsonObject, call, [0, MAX_LIMIT])]),
  );
  rateLimits.change({ enabled: flag(body, "enabled"), limits });
  return jsonAnswer(200, rateLimits.settings);
}

async function publishKey(_request: ControlRequest, { signingKey }: ControlParts): Promise<Answer> {
  const { jwk } = await signingKey;
  return jsonAnswer(200, { keys: [jwk] });
}

function toJson({ id, createdAt, revokedAt, deletedAt }: Identity): JsonObject {
  return {
    id,
    createdAt: new Date(createdAt).toISOString(),
    revokedAt: revokedAt === undefined ? null : new Date(revokedAt).toISOString(),
    deleted: deletedAt !== undefined,
    deletedAt: deletedAt === undefined ? null : new Date(deletedAt).toISOString(),
  };
}

function unknownRoute(method: string, path: string): ServiceError {
  const known = ROUTES.map((route) => `${route.method} ${route.path}`).join(", ");
  const message = `There is no control endpoint ${method} ${path}. There are: ${known}.`;
  return new ServiceError({ status: 404, code: "NotFound", message });
}
