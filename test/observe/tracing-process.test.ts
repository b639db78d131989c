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

/** The built program, as an operator starts it. */
function start(folder: string, env: Record<string, string>, options: readonly string[] = []) {
  return spawn(process.execPath, [...options, join(DIST, "main.js"), "serve"], {
    cwd: folder,
    env: {
      PORT: "0",
      ADMIN_PORT: "0",
      ACS_CONNECTION_STRING: `endpoint=http://127.0.0.1:9;accesskey=${Buffer.alloc(64, 1).toString("base64")}`,
      OIDC_ISSUER: "http://127.0.0.1:9",
      OIDC_AUDIENCE: "audience",
      DATABASE_URL: `sqlite:${join(folder, "gateway.db")}`,
      ...env,
    },
  });
}

/** The files of the built program that a gateway with these variables has loaded when it listens. */
async function loadedWith(env: Record<string, string>): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "gateway-modules-"));
  const gateway = start(folder, env, ["--import", REPORTER]);
  let loaded = "";
  gateway.stderr.on("data", (chunk) => {
    loaded += chunk;
  });
  const [line] = (await once(gateway.stdout, "data")) as [Buffer];
  gateway.kill("SIGKILL");
  await once(gateway, "close");
  rmSync(folder, { recursive: true });
  expect(String(line)).toContain('"msg":"listening"');
  return [...loaded.matchAll(/^loaded file:.*\/dist\/(\S+)$/gm)].map(([, file = ""]) => file);
}

/** Which of the program's files have OpenTelemetry's SDK in them, by names of its classes. */
const SDK = readdirSync(DIST).filter(
  (file) =>
    file.endsWith(".js") &&
    /BatchSpanProcessor|OTLPExportDelegate|W3CTraceContextPropagator/.test(readFileSync(join(DIST, file), "utf8")),
);

it("is of its own files, which are loaded when traces are on", async () => {
  expect(SDK).toEqual(["tracing-otel.js"]);
  const loaded = await loadedWith({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9" });
  expect(loaded).toEqual(expect.arrayContaining(["main.js", "gateway.js", ...SDK]));
}, 30_000);

it.each([
  ["nothing is set", {}],
  ["the SDK is disabled", { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9", OTEL_SDK_DISABLED: "true" }],
])(
  "is not loaded when %s",
  async (_, env) => {
    const loaded = await loadedWith(env);
    expect(loaded).toEqual(expect.arrayContaining(["main.js", "gateway.js"]));
    expect(loaded.filter((file) => SDK.includes(file))).toEqual([]);
  },
  30_000,
);

it("stops the start when a certificate for the collector cannot be read", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gateway-certificate-"));
  const to = {
    OTEL_EXPORTER_OTLP_ENDPOINT: "https://127.0.0.1:9",
    OTEL_EXPORTER_OTLP_CERTIFICATE: join(folder, "none.pem"),
  };
  const gateway = start(folder, to);
  let said = "";
  gateway.stderr.on("data", (chunk) => {
    said += chunk;
  });
  const [code] = (await once(gateway, "close")) as [number];
  rmSync(folder, { recursive: true });
  expect([code, said]).toEqual([
    2,
    expect.stringMatching(/^Traces cannot be sent \(.*certificate.*\): correct what OTEL_EXPORTER_OTLP_CERTIFICATE, /),
  ]);
}, 30_000);
