import { isIP } from "node:net";
import type { z } from "zod";
import type { AcsAccess, ArchiveConfig, Config, IssuerConfig, ServerConfig, StoreConfig } from "./config.js";
import { isEncoded } from "./encoded.js";
import { ConfigError, type Fault, type Report } from "./fault.js";
import { formatPath, type RawConfig } from "./read.js";
import { Secret } from "./secret.js";
import { archiveShape, configShape, type ShapedConfig } from "./shape.js";
import { readPublicKey, readSigningKey } from "./signing-keys.js";

/** `development`: what only the `dev` command may turn on is accepted. */
export type Mode = "production" | "development";

/** The typed configuration. Throws a `ConfigError` that has every fault, not just the first. */
export function checkConfig(raw: RawConfig, file: string, mode: Mode): Config {
  return check(raw, file, configShape, (shaped, report) => checkMeaning(shaped, mode, report));
}

/** The same of what a command is told that reads the database and asks nobody else: the other sections may be as they like. */
export function checkArchiveConfig(raw: RawConfig, file: string): ArchiveConfig {
  const faults = raw.faults.filter(({ path }) => path === "" || ARCHIVE.test(path));
  return check({ ...raw, faults }, file, archiveShape, ({ store, audit }, report) => ({
    store: checkStore(store, report),
    audit: checkAudit(audit, report),
  }));
}

const ARCHIVE = /^(store|audit)\b/;

function check<Shaped, Checked>(
  raw: RawConfig,
  file: string,
  shape: z.ZodType<Shaped>,
  checkMeaning: (shaped: Shaped, report: Report) => Checked,
): Checked {
  if (raw.value === undefined) throw new ConfigError(file, raw.faults);
  if (raw.value === null)
    throw new ConfigError(file, [{ path: "", message: "is empty; start from the shipped gateway.yaml" }]);
  const faults = [...raw.faults];
  const add = (fault: Fault) => {
    if (!raw.faults.some(({ path }) => path === fault.path)) faults.push(fault);
  };
  const parsed = shape.safeParse(raw.value);
  if (!parsed.success) {
    parsed.error.issues.flatMap((issue) => shapeFaults(issue, raw)).forEach(add);
    throw new ConfigError(file, faults);
  }
  const config = checkMeaning(parsed.data, (path, message) => {
    add({ path: formatPath(path), line: raw.lineOf(path), message });
  });
  if (faults.length > 0) throw new ConfigError(file, faults);
  return config;
}

function checkMeaning(shaped: ShapedConfig, mode: Mode, report: Report): Config {
  checkRules(shaped, report);
  checkTrustedDocuments(shaped.graphql, report);
  if (mode === "production") refuseDevelopmentSettings(shaped, report);
  const store = checkStore(shaped.store, report);
  if (store.kind !== "sqlite" || shaped.redis.url !== null) requireKeys(shaped, report);
  return {
    server: checkServer(shaped.server, report),
    acs: checkAcs(shaped.acs, report),
    issuers: checkIssuers(shaped.issuers, report),
    auth: shaped.auth,
    policy: shaped.policy,
    limits: shaped.limits,
    store,
    redis: { url: checkRedis(shaped.redis.url, report) },
    tokens: { ...shaped.tokens, cacheKeys: checkCacheKeys(shaped.tokens.cacheKeys, report) },
    audit: checkAudit(shaped.audit, report),
    graphql: shaped.graphql,
    log: shaped.log,
    tracing: { ...shaped.tracing, export: null },
    proxy: null,
  };
}

const PLAIN_HTTP = "must be https; plain http is accepted on loopback only";

/** An absolute https address, or an http one on loopback; undefined and a reported fault otherwise. */
function checkUrl(text: string, path: readonly PropertyKey[], report: Report): URL | undefined {
  const url = URL.parse(text);
  if (url === null || !["https:", "http:"].includes(url.protocol)) {
    report(path, "must be an address such as https://example.com");
    return undefined;
  }
  if (url.username !== "" || url.password !== "") {
    report(path, "must not hold a user name or password");
    return undefined;
  }
  if (!isHttpsOrLoopback(url)) {
    report(path, PLAIN_HTTP);
    return undefined;
  }
  return url;
}

/** Whether an address may carry secrets: https anywhere, http only where nothing leaves the machine. */
export function isHttpsOrLoopback(url: URL): boolean {
  if (url.protocol === "https:") return true;
  return url.protocol === "http:" && /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(url.hostname);
}

function checkServer(server: ShapedConfig["server"], report: Report): ServerConfig {
  const { host, port, publicUrl, admin } = server;
  if (port !== 0 && port === admin.port && host === admin.host) {
    report(["server", "admin", "port"], "is the public port too; choose another with ADMIN_PORT");
  }
  return {
    ...server,
    publicUrl: checkPublicUrl(publicUrl, report),
    corsOrigins: checkOrigins(server, report),
    proxies: checkProxies(server, report),
  };
}

/** In the one spelling and without a slash at the end: DPoP proofs name what stands below it (RFC 9449 §4.2). */
function checkPublicUrl(text: string | null, report: Report): string | null {
  if (text === null) return null;
  const path = ["server", "publicUrl"];
  const url = checkUrl(text, path, report);
  if (/[?#]/.test(text)) report(path, "must not have a query or a fragment");
  return (url?.href ?? text).replace(/\/+$/, "");
}

/** The cure where one value holds several, as that of an environment variable may. */
function listEach(setting: string): string {
  return `list each under ${setting} in a file of your own`;
}

function checkOrigins({ corsOrigins }: ShapedConfig["server"], report: Report): string[] {
  return corsOrigins.flatMap((origin, index) => {
    const path = ["server", "corsOrigins", index];
    if (origin === null) return [];
    if (origin.includes(",")) {
      report(path, `must be one origin; for more, ${listEach("server.corsOrigins")}`);
      return origin;
    }
    const url = checkUrl(origin, path, report);
    if (url && url.origin !== origin) report(path, `must be an origin as browsers send it, here ${url.origin}`);
    return origin;
  });
}

/** RFC 9110 §5.6.2 */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

function checkProxies({ proxies }: ShapedConfig["server"], report: Report): ServerConfig["proxies"] {
  const at = (...rest: PropertyKey[]) => ["server", "proxies", ...rest];
  const addresses = proxies.addresses.flatMap((address, index) => {
    if (address === null) return [];
    if (address.includes(","))
      report(
        at("addresses", index),
        `must be one IP address or range; for more, ${listEach("server.proxies.addresses")}`,
      );
    else if (!isAddressRange(address))
      report(at("addresses", index), "must be an IP address, or a range such as 10.0.0.0/8");
    else if (/\/0+$/.test(address))
      report(at("addresses", index), "is every address, so that whoever calls is believed; name those of the proxies");
    return address;
  });
  const header = (key: "clientAddressHeader" | "clientCertificateHeader") => {
    const name = proxies[key];
    if (name === null) return null;
    if (!HEADER_NAME.test(name)) report(at(key), "must be the name of a header");
    else if (addresses.length === 0)
      report(at(key), "needs proxies.addresses: from anyone else the header proves nothing");
    return name.toLowerCase();
  };
  const headers = [proxies.clientAddressHeader, proxies.clientCertificateHeader];
  if (addresses.some(isAddressRange) && headers.every((name) => name === null)) {
    const cure = "set CLIENT_ADDRESS_HEADER, such as x-forwarded-for, or clientCertificateHeader";
    report(at("addresses"), `are of no use without the name of the header in which their word is taken: ${cure}`);
  }
  return {
    addresses,
    clientAddressHeader: header("clientAddressHeader"),
    clientCertificateHeader: header("clientCertificateHeader"),
  };
}

function isAddressRange(text: string): boolean {
  const [address = "", bits, ...more] = text.split("/");
  const version = isIP(address);
  if (version === 0 || more.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128));
}

const NO_ACCESS: AcsAccess = { kind: "entra", endpoint: "" };

function checkAcs(shaped: ShapedConfig["acs"], report: Report): Config["acs"] {
  const { connectionString: _, secondaryConnectionString: __, endpoint: ___, ...settings } = shaped;
  return { ...settings, ...checkAccess(shaped, report) };
}

function checkAccess(
  { connectionString, secondaryConnectionString, endpoint }: ShapedConfig["acs"],
  report: Report,
): AcsAccess {
  if (connectionString !== null && endpoint !== null) {
    report(["acs"], "has both a connectionString and an endpoint; keep one (ACS_CONNECTION_STRING or ACS_ENDPOINT)");
    return NO_ACCESS;
  }
  if (connectionString !== null) return checkKeys(connectionString, secondaryConnectionString, report);
  if (secondaryConnectionString !== null) {
    report(["acs", "secondaryConnectionString"], "stands beside a connectionString only; set ACS_CONNECTION_STRING");
  }
  if (endpoint === null) {
    report(["acs"], "needs the resource: set ACS_CONNECTION_STRING, or ACS_ENDPOINT for Microsoft Entra ID");
    return NO_ACCESS;
  }
  const url = checkUrl(endpoint, ["acs", "endpoint"], report);
  if (url && url.protocol !== "https:") {
    report(
      ["acs", "endpoint"],
      "must be https: Microsoft Entra ID tokens are not sent in the clear; use a connectionString",
    );
  }
  return { kind: "entra", endpoint };
}

const SECONDARY = ["acs", "secondaryConnectionString"];

function checkKeys(primary: string, secondary: string | null, report: Report): AcsAccess {
  const first = checkConnectionString(primary, ["acs", "connectionString"], report);
  const second = secondary === null ? undefined : checkConnectionString(secondary, SECONDARY, report);
  if (first === undefined) return NO_ACCESS;
  if (second === undefined) return { kind: "key", endpoint: first.endpoint, accessKeys: [first.accessKey] };
  if (URL.parse(first.endpoint)?.host !== URL.parse(second.endpoint)?.host) {
    report(SECONDARY, "is of another resource; it is for the other of the resource's two keys");
  }
  if (first.accessKey.reveal() === second.accessKey.reveal()) {
    report(SECONDARY, "has the same key; take the other one from the resource's Keys page");
  }
  return { kind: "key", endpoint: first.endpoint, accessKeys: [first.accessKey, second.accessKey] };
}

/** `endpoint=https://…/;accesskey=<base64>`. Never repeats the text: it holds the key. */
function checkConnectionString(text: string, path: readonly PropertyKey[], report: Report) {
  const parts = new Map(
    text.split(";").flatMap((part): [string, string][] => {
      const cut = part.indexOf("=");
      return cut < 0 ? [] : [[part.slice(0, cut).trim().toLowerCase(), part.slice(cut + 1).trim()]];
    }),
  );
  const endpoint = parts.get("endpoint");
  const accessKey = parts.get("accesskey");
  if (!endpoint || !accessKey) {
    report(path, "must read endpoint=https://<resource>.communication.azure.com/;accesskey=<base64 key>");
    return undefined;
  }
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(accessKey) || accessKey.length % 4 !== 0) {
    report(path, "has an accesskey that is not base64; copy it again from the resource's Keys page");
  }
  checkUrl(endpoint, path, (at, message) => report(at, `has an endpoint that ${message}`));
  return { endpoint, accessKey: new Secret(accessKey) };
}

function checkIssuers(issuers: ShapedConfig["issuers"], report: Report): IssuerConfig[] {
  const seen = new Set<string>();
  return issuers.map((issuer, index) => {
    const at = (key: string) => ["issuers", index, key];
    const url = checkUrl(issuer.issuer, at("issuer"), report);
    // OpenID Connect Discovery 1.0 §4
    if (url && /[?#]/.test(issuer.issuer)) report(at("issuer"), "must not have a query or a fragment");
    for (const key of ["issuer", "audience"] as const) {
      if ([issuer[key]].flat().some((text) => text !== text.trim()))
        report(at(key), "begins or ends with a blank, which no token's would; it is compared to the letter");
    }
    // In a list it is meant.
    if (typeof issuer.audience === "string" && issuer.audience.includes(","))
      report(
        at("audience"),
        `must be one audience; for more, or one with a comma, ${listEach(formatPath(at("audience")))}`,
      );
    if (issuer.jwksUri !== null) checkUrl(issuer.jwksUri, at("jwksUri"), report);
    if (seen.has(issuer.issuer)) report(at("issuer"), "is listed twice; give it one entry with a list of audiences");
    seen.add(issuer.issuer);
    return { ...issuer, audience: [issuer.audience].flat() };
  });
}

function checkRules({ policy, issuers }: ShapedConfig, report: Report): void {
  policy.rules.forEach(({ when, permissions, scopes }, index) => {
    const at = ["policy", "rules", index, "when"];
    if (permissions.length === 0 && scopes.length === 0)
      report(["policy", "rules", index], "grants nothing: give it permissions or scopes, or take it away");
    const tests = [when.includes, when.equals].filter((test) => test !== undefined).length;
    if (when.claim === undefined && tests > 0) report(at, "compares with includes or equals but names no claim");
    if (when.claim !== undefined && tests !== 1) report(at, "names a claim and needs one of includes and equals");
    if (when.issuer !== undefined && !issuers.some(({ issuer }) => issuer === when.issuer)) {
      report([...at, "issuer"], "is none of the issuers in this file, so the rule could never match");
    }
  });
}

function checkTrustedDocuments({ trustedDocuments }: ShapedConfig["graphql"], report: Report): void {
  if (trustedDocuments.mode !== "enforce" || trustedDocuments.manifests.length > 0) return;
  const path = ["graphql", "trustedDocuments", "manifests"];
  report(path, "is needed: without one, enforce would refuse every operation");
}

const NO_STORE: StoreConfig = { kind: "sqlite", file: "" };

function checkStore({ url, maxConnections, queueSize }: ShapedConfig["store"], report: Report): StoreConfig {
  const path = ["store", "url"];
  if (/^postgres(ql)?:/i.test(url)) {
    const fault = faultOfPostgresUrl(url);
    if (fault !== undefined) report(path, fault);
    return { kind: "postgres", url: new Secret(url), maxConnections, queueSize };
  }
  const file = /^sqlite:(.+)$/.exec(url)?.[1];
  if (file === undefined) {
    report(
      path,
      "must be sqlite:FILE, such as sqlite:./data/gateway.db, or postgres://[USER:PASSWORD@]HOST:5432/DATABASE",
    );
    return NO_STORE;
  }
  if (file === ":memory:")
    report(path, "must name a file: identities kept in memory are lost for good at the next start");
  return { kind: "sqlite", file };
}

/** redis:// or rediss://, on any host. Never repeats the text: it may hold a password. */
function checkRedis(text: string | null, report: Report): Secret | null {
  if (text === null) return null;
  const url = URL.parse(text);
  const isRedis = url !== null && ["redis:", "rediss:"].includes(url.protocol) && url.hostname !== "" && isEncoded(url);
  // What follows the address would reach the client as options, over the gateway's own.
  if (!isRedis || !/^(\/\d*)?$/.test(url.pathname) || url.search !== "" || url.hash !== "") {
    report(
      ["redis", "url"],
      "must be redis://[user:password@]host[:port][/number], or the same with rediss:// for TLS, with special characters of user and password percent-encoded",
    );
  }
  return new Secret(text);
}

function checkAudit(audit: ShapedConfig["audit"], report: Report): Config["audit"] {
  checkSinks(audit, report);
  return {
    ...audit,
    key: checkKey(audit.key, ["audit", "key"], report),
    signingKey: checkSigningKey(audit.signingKey, report),
    earlierKeys: checkEarlierKeys(audit.earlierKeys, report),
    checkpoints: checkCheckpoints(audit.checkpoints, report),
  };
}

const MAKE_ONE = "make one with `openssl rand -base64 32`";

/** Keys made on one machine would be unknown to the others that share its database or Redis. */
function requireKeys({ tokens, audit }: ShapedConfig, report: Report): void {
  const why = "which instances that share Postgres or Redis must have in common";
  if (tokens.cacheKeys.every((key) => key === null)) {
    report(["tokens", "cacheKeys"], `needs a key, ${why}: set TOKEN_CACHE_KEY; ${MAKE_ONE}`);
  }
  if (audit.key === null) report(["audit", "key"], `is needed, ${why}: set AUDIT_KEY; ${MAKE_ONE}`);
}

function checkSigningKey(key: string | null, report: Report): Secret | null {
  if (key === null) return null;
  if (!readSigningKey(key)) {
    const make = "make one with openssl genpkey -algorithm ed25519";
    report(["audit", "signingKey"], `must be an Ed25519 private key in PKCS#8, as PEM or as DER in base64; ${make}`);
  }
  return new Secret(key);
}

/** A null stands for a reference whose variable is unset. */
function checkEarlierKeys(keys: ShapedConfig["audit"]["earlierKeys"], report: Report): string[] {
  return keys.flatMap((key, index) => {
    if (key === null) return [];
    if (!readPublicKey(key)) {
      const where = "it stands in each checkpoint that it signed";
      report(["audit", "earlierKeys", index], `must be an Ed25519 public key, as PEM or as DER in base64; ${where}`);
    }
    return [key];
  });
}

const ADDRESS = /^[a-z][a-z0-9+.-]*:\/\//i;

/** What looks like an address is one, lest a mistyped one becomes a file. */
function checkCheckpoints(place: string | null, report: Report): Config["audit"]["checkpoints"] {
  if (place === null) return null;
  if (place === "stdout") return { kind: "stdout" };
  if (!ADDRESS.test(place)) return { kind: "file", file: place };
  const url = checkUrl(place, ["audit", "checkpoints"], report);
  return { kind: "address", address: new Secret(url?.href ?? place) };
}

function checkSinks({ sinks, checkpoints }: ShapedConfig["audit"], report: Report): void {
  sinks.forEach(({ to }, index) => {
    const path = ["audit", "sinks", index, "to"];
    if (ADDRESS.test(to)) report(path, "must be a file, a named pipe, or stdout");
    if (sinks.findIndex((sink) => sink.to === to) < index) report(path, "is listed twice; keep the first");
    if (to === checkpoints && to !== "stdout") report(path, "is where the checkpoints go; choose another file");
  });
}

/** A null stands for a reference whose variable is unset. */
function checkCacheKeys(keys: ShapedConfig["tokens"]["cacheKeys"], report: Report): Secret[] {
  return keys.flatMap((key, index) => {
    const path = ["tokens", "cacheKeys", index];
    if (key !== null && keys.indexOf(key) < index) report(path, "is listed twice; keep the first");
    return checkKey(key, path, report) ?? [];
  });
}

function checkKey(text: string | null, path: readonly PropertyKey[], report: Report): Secret | null {
  if (text === null) return null;
  if (!isKey(text)) report(path, `must be 32 bytes in base64; ${MAKE_ONE}`);
  return new Secret(text);
}

/** Whether a text is 32 bytes in base64, written the one way that encoders write them. */
export function isKey(text: string): boolean {
  const bytes = Buffer.from(text, "base64");
  return bytes.length === 32 && bytes.toString("base64") === text;
}

const POSTGRES_FORM =
  "must read postgres://[USER:PASSWORD@]HOST:5432/DATABASE, with special characters of the password percent-encoded";

function faultOfPostgresUrl(text: string): string | undefined {
  if (!isPostgresUrl(text)) return POSTGRES_FORM;
  const { searchParams } = new URL(text);
  const unknown = [...searchParams.keys()].find((name) => !POSTGRES_PARAMETERS.includes(name));
  if (unknown !== undefined) {
    // Behind an unencoded & of a password it would be a piece of that.
    const which = searchParams.has("password") ? "a parameter" : `the parameter ${JSON.stringify(unknown)}`;
    return `has ${which} that is none of ${POSTGRES_PARAMETERS.join(", ")}`;
  }
  // Of several the driver takes the last, and an empty one for none.
  const mode = searchParams.getAll("sslmode").at(-1);
  if (mode !== undefined && !SSL_MODES.includes(mode)) return `has an sslmode that is none of ${SSL_MODES.join(", ")}`;
  return undefined;
}

/** Names a host, here or as a parameter (a socket's folder), and a database; and is encoded soundly. */
function isPostgresUrl(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || (url.hostname === "" && !url.searchParams.get("host"))) return false;
  // Behind an unencoded @, / or # of a password, what is taken for host and database is pieces of it.
  const rest = `${url.pathname}${url.search.replace(/(?<=[?&](user|password|options)=)[^&]*/g, "")}`;
  if (text.includes("#") || rest.includes("@")) return false;
  return isEncoded(url, url.hostname, url.pathname) && /^\/[^/]+$/.test(decodeURIComponent(url.pathname));
}

/** The driver passes over what it does not know, such as a misspelt sslmode, and takes some others over the gateway's own settings. */
const POSTGRES_PARAMETERS: readonly string[] = [
  "sslmode",
  "sslrootcert",
  "sslcert",
  "sslkey",
  "sslnegotiation",
  "uselibpqcompat",
  "host",
  "port",
  "user",
  "password",
  "application_name",
  "options",
];

/** As the driver knows them. */
const SSL_MODES: readonly string[] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full", "no-verify"];

function refuseDevelopmentSettings({ graphql }: ShapedConfig, report: Report): void {
  for (const key of ["introspection", "explorer"] as const) {
    if (graphql[key])
      report(["graphql", key], "is a development setting, which `serve` refuses; set it to false, or run `dev`");
  }
}

/** Zod's issue as our sentence. Says what is accepted and never what was given. */
function shapeFaults(issue: z.core.$ZodIssue, raw: RawConfig): Fault[] {
  const at = (path: readonly PropertyKey[], message: string): Fault => ({
    path: formatPath(path),
    line: raw.lineOf(path),
    message,
  });
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => at([...issue.path, key], "is not a setting; gateway.yaml lists them all"));
  }
  return [at(issue.path, expectation(issue, valueAt(raw.value, issue.path) ?? null))];
}

function expectation(issue: z.core.$ZodIssue, value: unknown): string {
  if (value === null) return "is required";
  switch (issue.code) {
    case "invalid_type":
      return `must be ${TYPE_NAMES[issue.expected] ?? issue.expected}`;
    case "invalid_value":
      return `must be one of ${issue.values.join(", ")}`;
    case "too_small":
      return issue.origin === "number" ? `must be at least ${issue.minimum}` : "must not be empty";
    case "too_big":
      return `must be at most ${issue.maximum}`;
    case "invalid_union":
      return "must be a text or a list of texts";
    default:
      return "is not valid";
  }
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a whole number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a section with settings of its own",
};

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((found, key) => (found as Record<PropertyKey, unknown> | null | undefined)?.[key], value);
}
