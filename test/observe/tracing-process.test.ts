import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { Cli } from "../fixtures/cli.js";

it("stops the start when a certificate for the collector cannot be read", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gateway-certificate-"));
  const { code, stderr } = await Cli.run(["serve"], {
    cwd: folder,
    env: {
      PORT: "0",
      ADMIN_PORT: "0",
      ACS_CONNECTION_STRING: `endpoint=http://127.0.0.1:9;accesskey=${Buffer.alloc(64, 1).toString("base64")}`,
      OIDC_ISSUER: "http://127.0.0.1:9",
      OIDC_AUDIENCE: "audience",
      DATABASE_URL: `sqlite:${join(folder, "gateway.db")}`,
      OTEL_EXPORTER_OTLP_ENDPOINT: "https://127.0.0.1:9",
      OTEL_EXPORTER_OTLP_CERTIFICATE: join(folder, "none.pem"),
    },
  });
  rmSync(folder, { recursive: true });
  expect([code, stderr]).toEqual([
    2,
    expect.stringMatching(/^Traces cannot be sent \(.*certificate.*\): correct what OTEL_EXPORTER_OTLP_CERTIFICATE, /),
  ]);
});
