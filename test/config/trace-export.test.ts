import { describe, expect, it } from "vitest";
import { ConfigError } from "../../src/config/fault.js";
import { readTraceExport } from "../../src/config/trace-export.js";

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" };

function targetOf(env: Record<string, string>) {
  const to = readTraceExport(env)?.to;
  if (to === undefined || to === "log") throw new Error("no collector");
  return to;
}

describe("traces", () => {
  it.each([
    ["nothing is set", {}],
    ["the endpoint is empty", { OTEL_EXPORTER_OTLP_ENDPOINT: " " }],
    ["the exporter is none", { ...ENDPOINT, OTEL_TRACES_EXPORTER: "none" }],
    ["the SDK is disabled, whatever else there is", { OTEL_SDK_DISABLED: "TRUE", OTEL_TRACES_EXPORTER: "zipkin" }],
    ["only what would come with them is set", { OTEL_SERVICE_NAME: "x", OTEL_TRACES_SAMPLER: "always_on" }],
  ])("are off when %s", (_, env) => {
    expect(readTraceExport(env)).toBeNull();
  });

  it.each([
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" }, "http://collector:4318/v1/traces"],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "https://collector/otlp/" }, "https://collector/otlp/v1/traces"],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "https://collector/otlp?tenant=a" }, "https://collector/otlp/v1/traces?tenant=a"],
    [{ ...ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://other:1/in" }, "http://other:1/in"],
    [{ OTEL_TRACES_EXPORTER: "otlp" }, "http://localhost:4318/v1/traces"],
  ])("go by %j to %s", (env, url) => {
    expect(targetOf(env).url).toBe(url);
  });

  it("go to the log when that is asked for", () => {
    expect(readTraceExport({ OTEL_TRACES_EXPORTER: "console" })?.to).toBe("log");
  });

  it("are sent as the variables say, those for traces first", () => {
    const target = targetOf({
      ...ENDPOINT,
      OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20one, x-tenant = a",
      OTEL_EXPORTER_OTLP_TRACES_HEADERS: "authorization=Bearer%20two=",
      OTEL_EXPORTER_OTLP_TIMEOUT: "2000",
      OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: "1000",
      OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
      OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
      OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "http/protobuf",
    });
    expect(target).toMatchObject({ timeoutMs: 1000, compression: "gzip" });
    expect(Object.entries(target.headers).map(([name, value]) => [name, value.reveal()])).toEqual([
      ["authorization", "Bearer two="],
      ["x-tenant", "a"],
    ]);
    expect(JSON.stringify(target)).not.toContain("two");
  });

  it.each([
    ["parentbased_always_on", undefined, { root: 1, isParentBased: true }],
    ["always_off", undefined, { root: 0, isParentBased: false }],
    ["traceidratio", "0.25", { root: 0.25, isParentBased: false }],
    ["parentbased_traceidratio", "1e-3", { root: 0.001, isParentBased: true }],
    ["parentbased_traceidratio", "", { root: 1, isParentBased: true }],
    ["", "0.5", { root: 1, isParentBased: true }],
  ])("are sampled by %j with %j", (OTEL_TRACES_SAMPLER, argument = "", sampler) => {
    const env = { ...ENDPOINT, OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG: argument };
    expect(readTraceExport(env)?.sampler).toEqual(sampler);
  });

  it("say who they are of", () => {
    const attributes = { OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=a%2Cb,service.name=from-there" };
    expect(readTraceExport({ ...ENDPOINT, ...attributes })).toMatchObject({
      serviceName: "from-there",
      resourceAttributes: { "deployment.environment.name": "a,b" },
    });
    expect(readTraceExport({ ...ENDPOINT, ...attributes, OTEL_SERVICE_NAME: "own" })?.serviceName).toBe("own");
    expect(readTraceExport(ENDPOINT)?.serviceName).toBe("acs-token-gateway");
  });

  const secret = "secret-4711";
  it.each([
    ["OTEL_TRACES_EXPORTER", secret, "must be one of otlp, console, none"],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", `ftp://${secret}`, "must be an address such as"],
    ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", `https://user:${secret}@collector`, "must not hold a user name or password"],
    ["OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "must be http/protobuf"],
    ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "must be http/protobuf"],
    ["OTEL_EXPORTER_OTLP_HEADERS", secret, "must be pairs such as name=value"],
    ["OTEL_EXPORTER_OTLP_HEADERS", `key=${secret}%0A`, "must be names and values of HTTP headers"],
    ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", `clé=${secret}`, "must be names and values of HTTP headers"],
    ["OTEL_EXPORTER_OTLP_HEADERS", `key=${secret}%zz`, "must be pairs such as name=value"],
    ["OTEL_EXPORTER_OTLP_TIMEOUT", secret, "must be a whole number"],
    ["OTEL_EXPORTER_OTLP_COMPRESSION", secret, "must be one of none, gzip"],
    ["OTEL_TRACES_SAMPLER", secret, "must be one of always_on, always_off, traceidratio, parentbased_always_on"],
    ["OTEL_BSP_MAX_QUEUE_SIZE", "0", "must be a whole number from 1 on"],
    ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4000", "must not be above OTEL_BSP_MAX_QUEUE_SIZE"],
    ["OTEL_RESOURCE_ATTRIBUTES", secret, "must be pairs such as"],
  ])("stop the start when %s makes no sense, and never say what it is", (name, value, cure) => {
    const read = () => readTraceExport({ ...ENDPOINT, [name]: value });
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(`environment: ${name} ${cure}`);
    expect(read).not.toThrow(secret);
  });

  it("stop the start for a share that is none", () => {
    const env = { ...ENDPOINT, OTEL_TRACES_SAMPLER: "traceidratio" };
    for (const share of ["2", "-1", "all", "NaN"])
      expect(() => readTraceExport({ ...env, OTEL_TRACES_SAMPLER_ARG: share })).toThrow(
        "environment: OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1.",
      );
  });

  it("name everything that is wrong at once", () => {
    const env = { ...ENDPOINT, OTEL_TRACES_SAMPLER: "x", OTEL_EXPORTER_OTLP_TIMEOUT: "y" };
    expect(() => readTraceExport(env)).toThrow(/OTEL_EXPORTER_OTLP_TIMEOUT .*\n.*OTEL_TRACES_SAMPLER /);
  });
});
