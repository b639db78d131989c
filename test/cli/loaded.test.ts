import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const DIST = fileURLToPath(new URL("../../dist/", import.meta.url));
/** Prints each module of the program that is loaded. */
const REPORTER = `data:text/javascript,${encodeURIComponent(`
import { registerHooks } from "node:module";
registerHooks({ load: (url, context, next) => { console.error("loaded " + url); return next(url, context); } });
`)}`;

/** What only some need, by names of classes that no other file of the program speaks of. */
const LIBRARIES = {
  "Entra ID": /ManagedIdentityCredential/,
  Postgres: /ConnectionParameters/,
  Redis: /MaxRetriesPerRequestError/,
  OpenTelemetry: /BatchSpanProcessor|OTLPExportDelegate|W3CTraceContextPropagator/,
  WebSockets: /PerMessageDeflate/,
} as const;
type Library = keyof typeof LIBRARIES;

const NOBODY = "127.0.0.1:9";
const KEY = Buffer.alloc(32, 7).toString("base64");
const CONNECTION_STRING = `endpoint=http://${NOBODY};accesskey=${Buffer.alloc(64, 1).toString("base64")}`;
const OTLP = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://${NOBODY}` };

/** The files of the built program that have the library in them. */
function filesOf(library: Library): string[] {
  const files = readdirSync(DIST).filter((file) => file.endsWith(".js"));
  return files.filter((file) => LIBRARIES[library].test(readFileSync(join(DIST, file), "utf8")));
}

/** What a gateway with these variables has said when it listens, or has ended, and which files it has loaded by then. */
async function start(env: Readonly<Record<string, string>>) {
  const folder = mkdtempSync(join(tmpdir(), "gateway-loaded-"));
  const gateway = spawn(process.execPath, ["--import", REPORTER, join(DIST, "main.js"), "serve"], {
    cwd: folder,
    env: {
      PORT: "0",
      ADMIN_PORT: "0",
      OIDC_ISSUER: `http://${NOBODY}`,
      OIDC_AUDIENCE: "audience",
      DATABASE_URL: `sqlite:${join(folder, "gateway.db")}`,
      ...env,
    },
  });
  let [said, reported] = ["", ""];
  gateway.stdout.on("data", (chunk) => {
    said += chunk;
    if (said.includes('"msg":"listening"')) gateway.kill("SIGKILL");
  });
  gateway.stderr.on("data", (chunk) => {
    reported += chunk;
  });
  await once(gateway, "close");
  rmSync(folder, { recursive: true });
  return { said, loaded: [...reported.matchAll(/^loaded file:.*\/dist\/(\S+)$/gm)].map(([, file = ""]) => file) };
}

it.each(Object.keys(LIBRARIES) as Library[])("has %s in a file of its own", (library) => {
  expect(filesOf(library)).toHaveLength(1);
});

it.each<[what: string, env: Readonly<Record<string, string>>]>([
  ["a connection string and SQLite", {}],
  ["OpenTelemetry's SDK disabled", { ...OTLP, OTEL_SDK_DISABLED: "true" }],
])("loads nothing at its start that is not needed with %s", async (_, env) => {
  const { said, loaded } = await start({ ACS_CONNECTION_STRING: CONNECTION_STRING, ...env });
  expect(said).toContain('"msg":"listening"');
  expect(loaded).toEqual(expect.arrayContaining(["main.js", "gateway.js"]));
  const needless = (Object.keys(LIBRARIES) as Library[]).filter((library) =>
    filesOf(library).some((file) => loaded.includes(file)),
  );
  expect(needless).toEqual([]);
});

it.each<[library: Library, env: Readonly<Record<string, string>>]>([
  ["Entra ID", { ACS_ENDPOINT: "https://example.communication.azure.com" }],
  ["Postgres", { DATABASE_URL: `postgres://${NOBODY}/none`, TOKEN_CACHE_KEY: KEY, AUDIT_KEY: KEY }],
  ["Redis", { REDIS_URL: `redis://${NOBODY}`, TOKEN_CACHE_KEY: KEY, AUDIT_KEY: KEY }],
  ["OpenTelemetry", OTLP],
])("loads what there is of %s when it is configured", async (library, env) => {
  const service = "ACS_ENDPOINT" in env ? {} : { ACS_CONNECTION_STRING: CONNECTION_STRING };
  const { loaded } = await start({ ...service, ...env });
  expect(loaded).toEqual(expect.arrayContaining(filesOf(library)));
});
