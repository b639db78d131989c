import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadConfig } from "../../src/config/load.js";
import { faultsInResource } from "./arm-schemas.js";
import { at, type Bicep, Either, type Resource, readBicep, Unknown, type Value } from "./bicep.js";
import { faultsInNames, faultsInParams } from "./bicep-names.js";

const FOLDER = "deploy/container-apps";
const FILES = [`${FOLDER}/main.bicep`, ...readdirSync(`${FOLDER}/modules`).map((file) => `${FOLDER}/modules/${file}`)];

const app = readBicep(`${FOLDER}/modules/app.bicep`);

const body = app.resources.get("app")?.body;
const container = at(body, "properties", "template", "containers", 0);
const env = (at(container, "env") ?? []) as readonly { name: string; value?: Value; secretRef?: string }[];
const settings = Object.fromEntries(
  env.map(({ name, value }) => [name, typeof value === "string" ? value : undefined]),
);

async function faultsIn(bicep: Bicep): Promise<string[]> {
  const made = [...bicep.resources.values()].filter(({ isExisting }) => !isExisting);
  return [...faultsInNames(bicep, readBicep), ...(await Promise.all(made.map(faultsInResource))).flat()];
}

/** The value once for each key in it, with a letter more in that key. */
function* misspellings(value: Value, path = ""): Generator<[key: string, changed: Value]> {
  if (typeof value !== "object" || value === null || value instanceof Unknown || value instanceof Either) return;
  for (const [key, item] of Object.entries(value)) {
    const rest = Object.entries(value).filter(([other]) => other !== key);
    if (!Array.isArray(value)) yield [`${path}.${key}`, Object.fromEntries([...rest, [`${key}X`, item]])];
    for (const [inner, changed] of misspellings(item, `${path}.${key}`))
      yield [inner, Array.isArray(value) ? value.with(Number(key), changed) : { ...value, [key]: changed }];
  }
}

async function keysThatMayBeMisspelt(resource: Resource): Promise<string[]> {
  const survivors: string[] = [];
  for (const [key, body] of misspellings(resource.body))
    if ((await faultsInResource({ ...resource, body })).length === 0) survivors.push(resource.type + key);
  return survivors;
}

describe("the Bicep files", () => {
  it.each(FILES)("are Bicep, and ask for what Azure Resource Manager takes: %s", async (file) => {
    expect(await faultsIn(readBicep(file))).toEqual([]);
  });

  it.each([
    ["a key that does not exist", "activeRevisionsMode:", "activeRevisionMode:", "takes no activeRevisionMode"],
    ["a wrong type", "targetPort: 4000", "targetPort: '4000'", "int is needed, not string"],
    ["a value that is not known", "'Single'", "'Solo'", "Solo is not one of Multiple, Single"],
    [
      "an output in place of an input",
      "environmentId: environmentId",
      "latestRevisionFqdn: environmentId",
      "read-only",
    ],
    ["another API version", "containerApps@2025-07-01", "containerApps@2021-01-01", "described for 2025-07-01"],
    ["a name that nothing has", "value: acsEndpoint", "value: acsEndpont", "nothing is named acsEndpont"],
    ["a function that does not exist", "json('0.5')", "jsn('0.5')", "no function jsn"],
    ["a file that is not there", "'../gateway.yaml'", "'gateway.yaml'", "there is no file"],
  ])("would not with %s", async (_, text, change, fault) => {
    const { file } = app;
    const broken = readFileSync(file, "utf8").replace(text, change);
    expect((await faultsIn(readBicep(file, broken))).join("\n")).toContain(fault);
  });

  it.each([
    [
      "a parameter too few",
      "    zoneRedundant: zoneRedundant\n  }\n}\n\nmodule app",
      "  }\n}\n\nmodule app",
      "needs zoneRedundant",
    ],
    [
      "a parameter too many",
      "    principalId: identity.outputs.principalId\n",
      "    principal: ''\n    principalId: identity.outputs.principalId\n",
      "takes no principal",
    ],
    ["a parameter of another type", "minReplicas: minReplicas", "minReplicas: '2'", "another type for minReplicas"],
    [
      "an output that a module has not",
      "vault.outputs.secretUris",
      "vault.outputs.secrets",
      "no vault.outputs.secrets",
    ],
  ])("would not with %s", async (_, text, change, fault) => {
    const file = `${FOLDER}/main.bicep`;
    const broken = readFileSync(file, "utf8").replace(text, change);
    expect(broken).not.toBe(readFileSync(file, "utf8"));
    expect((await faultsIn(readBicep(file, broken))).join("\n")).toContain(fault);
  });

  it("would not with any key of a resource misspelt", async () => {
    const made = FILES.flatMap((file) => [...readBicep(file).resources.values()]).filter(
      ({ isExisting }) => !isExisting,
    );
    const survivors = (await Promise.all(made.map(keysThatMayBeMisspelt))).flat();
    // The keys of this dictionary are ids, and what a scaler takes is the scaler's business.
    const open = ["${identityId}", "concurrentRequests", "type", "value"];
    expect(survivors.map((key) => key.split(".").at(-1))).toEqual(open);
  });

  it("would not with a bracket too few, and the line is named", () => {
    expect(() => readBicep("x.bicep", "param a string\nresource b 'T@1' = {\n  name: a\n")).toThrow(
      /^x\.bicep:\d+: not Bicep/,
    );
  });

  it("are all used", () => {
    const used = [...readBicep(`${FOLDER}/main.bicep`).modules.values()].map(({ file }) => join(FOLDER, file));
    expect(used.sort()).toEqual(FILES.slice(1).sort());
  });

  it("keep what is secret from being shown", () => {
    for (const file of FILES) {
      for (const [name, { decorators }] of readBicep(file).params) {
        const isSecret = /password|key$|databaseUrl/i.test(name);
        expect(decorators.includes("@secure()"), `${file} ${name}`).toBe(isSecret);
      }
    }
  });

  it("say what each parameter of the whole is for", () => {
    for (const [name, { decorators }] of readBicep(`${FOLDER}/main.bicep`).params)
      expect(decorators[0], name).toMatch(/^@description\(/);
  });
});

describe("the example of parameters", () => {
  it("gives what is needed, of the right types, and no secret", () => {
    const text = readFileSync(`${FOLDER}/main.bicepparam`, "utf8");
    const given = readBicep(`${FOLDER}/main.bicepparam`, text.replaceAll(/^param (\w+) =/gm, "var $1 ="));
    const values = Object.fromEntries(given.variables);
    const main = readBicep(`${FOLDER}/main.bicep`);
    expect(faultsInParams(main, values)).toEqual([]);
    expect(main.params.get("dataLocation")?.decorators.join()).toContain(`'${values.dataLocation}'`);
    expect(text).toMatch(/^using '\.\/main\.bicep'$/m);
    for (const name of ["databasePassword", "tokenCacheKey", "auditKey"])
      expect(text).toMatch(new RegExp(`^param ${name} = readEnvironmentVariable\\(`, "m"));
  });
});

describe("the container app", () => {
  const load = () => {
    const given = env.map(({ name }) => [name, VALUES[name] ?? settings[name]]);
    return loadConfig(`${FOLDER}/gateway.yaml`, Object.fromEntries(given), "production");
  };

  it("gives the gateway what its configuration asks for", () => {
    const { server, limits, store, acs } = load();
    expect([server.host, server.admin.host]).toEqual(["0.0.0.0", "0.0.0.0"]);
    expect(server.proxies).toMatchObject({ addresses: ["100.100.0.0/16"], clientAddressHeader: "x-forwarded-for" });
    expect([limits.instances, store.kind, acs]).toEqual([
      6,
      "postgres",
      expect.objectContaining({ endpoint: VALUES.ACS_ENDPOINT }),
    ]);
  });

  it("lets clients reach the public port alone, and asks the admin port for health", () => {
    const { server } = load();
    const ingress = at(body, "properties", "configuration", "ingress");
    expect(ingress).toMatchObject({ targetPort: server.port, allowInsecure: false });
    expect(ingress).not.toHaveProperty("additionalPortMappings");
    const probes = at(container, "probes") as { type: string; httpGet: { path: string; port: number } }[];
    expect(probes.map(({ type, httpGet }) => [type, httpGet.path, httpGet.port])).toEqual([
      ["Startup", "/health/live", server.admin.port],
      ["Liveness", "/health/live", server.admin.port],
      ["Readiness", "/health/ready", server.admin.port],
    ]);
  });

  it("has every secret that it names, and the configuration where the gateway looks for it", () => {
    const secrets = at(body, "properties", "configuration", "secrets") as { name: string }[];
    const [volume] = at(body, "properties", "template", "volumes") as {
      name: string;
      secrets: { secretRef: string; path: string }[];
    }[];
    const [mount] = at(container, "volumeMounts") as { volumeName: string; mountPath: string }[];
    const named = [
      ...env.flatMap(({ secretRef }) => secretRef ?? []),
      ...(volume?.secrets ?? []).map(({ secretRef }) => secretRef),
    ];
    expect(named.sort()).toEqual(secrets.map(({ name }) => name).sort());
    expect(mount?.volumeName).toBe(volume?.name);
    expect(settings.GATEWAY_CONFIG).toBe(`${mount?.mountPath}/${volume?.secrets[0]?.path}`);
  });

  it("is given the time to end what is under way, to change the schema, and memory beside the heap", () => {
    expect(at(body, "properties", "template", "terminationGracePeriodSeconds")).toBeGreaterThan(10);
    const probe = at(container, "probes", 0) as { periodSeconds: number; failureThreshold: number };
    expect(probe.periodSeconds * probe.failureThreshold).toBeGreaterThanOrEqual(600);
    expect(at(container, "resources", "memory")).toBe("1Gi");
    expect(Number(/--max-old-space-size=(\d+)/.exec(settings.NODE_OPTIONS ?? "")?.[1])).toBeLessThanOrEqual(512);
  });
});

/** What only a deployment knows. */
const VALUES: Record<string, string> = {
  ACS_ENDPOINT: "https://acsgateway-abc123.europe.communication.azure.com",
  OIDC_ISSUER: "https://login.example.com",
  OIDC_AUDIENCE: "api://communication-gateway",
  PUBLIC_URL: "https://tokens.example.com",
  CORS_ORIGIN: "",
  INSTANCES: "6",
  DATABASE_URL: "postgres://gateway:p%40ss@acsgateway.postgres.database.azure.com:5432/gateway?sslmode=verify-full",
  REDIS_URL: "rediss://:a-key%3D@acsgateway.westeurope.redis.azure.net:10000",
  TOKEN_CACHE_KEY: Buffer.alloc(32, 1).toString("base64"),
  AUDIT_KEY: Buffer.alloc(32, 2).toString("base64"),
};
