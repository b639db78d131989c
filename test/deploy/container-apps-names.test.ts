/** What the Bicep files call by an id, a name or an address that stands elsewhere: right in form, it may be wrong in fact. */
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { hasProperty } from "./arm-schemas.js";
import { at, type Bicep, type Resource, readBicep } from "./bicep.js";
import { unreadVariables } from "./variables.js";

const FOLDER = "deploy/container-apps";
const modules = Object.fromEntries(
  readdirSync(`${FOLDER}/modules`).map((file) => [file, readBicep(`${FOLDER}/modules/${file}`)]),
);
const main = readBicep(`${FOLDER}/main.bicep`);

/** As Microsoft lists its built-in roles. */
const ROLES = {
  AcrPull: "7f951dda-4ed3-4680-a7ca-43fe172d538d",
  "Communication and Email Service Owner": "09976791-48a7-449e-bb21-39d1a415f350",
  Contributor: "b24988ac-6180-42a0-ab88-20f7382dd24c",
  "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
};
/** Is there before anything is deployed, and described in no library here. */
const REGISTRY = "Microsoft.ContainerRegistry/registries@2023-07-01";

function moduleOf(file: string): Bicep {
  const found = modules[file];
  if (found === undefined) throw new Error(`no module ${file}`);
  return found;
}
const resourceOf = (file: string, name: string) => moduleOf(file).resources.get(name)?.body;
const resources = () => Object.values(modules).flatMap((module) => [...module.resources.values()]);
const nameOf = ({ type, version }: Resource) => `${type}@${version}`;

/** The text of one resource or module. */
function textOf({ root }: Bicep, name: string): string {
  const declarations = root.descendantsOfType(["resource_declaration", "module_declaration"]);
  return declarations.find((node) => node?.namedChildren[0]?.text === name)?.text ?? "";
}

describe("the managed identity", () => {
  it("has the roles that are meant, by the ids that Azure knows them by", () => {
    expect(moduleOf("registry-pull.bicep").variables.get("roleId")).toBe(ROLES.AcrPull);
    expect(moduleOf("vault.bicep").variables.get("roleId")).toBe(ROLES["Key Vault Secrets User"]);
    const { AcrPull: _pull, "Key Vault Secrets User": _read, ...communication } = ROLES;
    expect(moduleOf("communication.bicep").variables.get("roleIds")).toEqual(communication);
  });

  it("is told by the id that each place asks for", () => {
    const outputs = moduleOf("identity.bicep").root.text.matchAll(
      /output (\w+) string = identity\.(?:properties\.)?(\w+)/g,
    );
    for (const [, output, property] of outputs) expect(output).toBe(property);
    expect(textOf(main, "app")).toContain("identityClientId: identity.outputs.clientId");
  });
});

describe("what is there already", () => {
  it("is named by the type and the version by which it is made", () => {
    const made = resources().filter(({ isExisting }) => !isExisting);
    const existing = resources().filter(({ isExisting, type }) => isExisting && type.includes("/"));
    expect(existing).not.toEqual([]);
    for (const resource of existing) expect([REGISTRY, ...made.map(nameOf)]).toContain(nameOf(resource));
  });

  it.each(Object.entries(modules))("is asked for properties that it has: %s", async (_, { root, resources: own }) => {
    for (const [text, name = "", path = ""] of root.text.matchAll(/\b(\w+)\.(properties(?:\.\w+)+)/g)) {
      const resource = own.get(name);
      if (resource === undefined) throw new Error(`${text}: no resource ${name}`);
      if (nameOf(resource) !== REGISTRY) expect(await hasProperty(resource, path.split(".")), text).toBe(true);
    }
  });

  it("would not be, with a property misspelt", async () => {
    const { resources: own } = moduleOf("postgres.bicep");
    const server = own.get("server") as Resource;
    expect(await hasProperty(server, ["properties", "fullyQualifiedDomainName"])).toBe(true);
    expect(await hasProperty(server, ["properties", "fqdn"])).toBe(false);
  });
});

describe("the database and the cache", () => {
  it("are reached by TLS, with the server's certificate checked", () => {
    expect(textOf(main, "vault")).toContain(":5432/${postgres.outputs.database}?sslmode=verify-full'");
    expect(textOf(moduleOf("vault.bicep"), "redisSecret")).toMatch(/'rediss:\/\/:.*:10000'/);
    expect(at(resourceOf("redis.bicep", "database"), "properties")).toMatchObject({
      clientProtocol: "Encrypted",
      port: 10000,
    });
  });

  it("speak as the gateway's client does, which knows no cluster", () => {
    expect(at(resourceOf("redis.bicep", "database"), "properties", "clusteringPolicy")).toBe("NoCluster");
  });

  it("are in the network alone, found by private names, each in the subnet that is given to its service", () => {
    expect(at(resourceOf("redis.bicep", "cluster"), "properties", "publicNetworkAccess")).toBe("Disabled");
    expect(at(resourceOf("redis.bicep", "endpoint"), "properties", "privateLinkServiceConnections", 0)).toMatchObject({
      properties: { groupIds: ["redisEnterprise"] },
    });
    expect(at(resourceOf("network.bicep", "cacheNames"), "name")).toBe("privatelink.redis.azure.net");
    expect(textOf(main, "network")).toContain(".private.postgres.database.azure.com'");
    const subnets = at(resourceOf("network.bicep", "network"), "properties", "subnets") as readonly {
      name: string;
      properties: { delegations?: readonly { properties: { serviceName: string } }[] };
    }[];
    const services = subnets.map(({ name, properties }) => [name, properties.delegations?.[0]?.properties.serviceName]);
    expect(Object.fromEntries(services)).toEqual({
      app: "Microsoft.App/environments",
      database: "Microsoft.DBforPostgreSQL/flexibleServers",
      endpoints: undefined,
    });
    expect(textOf(main, "environment")).toContain("subnetId: network.outputs.appSubnetId");
    expect(textOf(main, "postgres")).toContain("subnetId: network.outputs.databaseSubnetId");
    expect(textOf(main, "postgres")).toContain("privateZoneId: network.outputs.databaseZoneId");
    expect(textOf(main, "redis")).toContain("subnetId: network.outputs.endpointSubnetId");
    expect(textOf(main, "redis")).toContain("privateZoneId: network.outputs.cacheZoneId");
  });
});

describe("Communication Services", () => {
  it("takes no key", () => {
    expect(at(resourceOf("communication.bicep", "communication"), "properties", "disableLocalAuth")).toBe(true);
  });
});

describe("the container app", () => {
  const app = resourceOf("app.bicep", "app");
  const env = at(app, "properties", "template", "containers", 0, "env") as readonly {
    name: string;
    secretRef?: string;
  }[];

  it("is given no variable that nothing reads, but the one that tells a new configuration", () => {
    const names = env.map(({ name }) => name);
    expect(unreadVariables(names, `${FOLDER}/gateway.yaml`)).toEqual(["CONFIGURATION_HASH"]);
  });

  it("starts a new revision when the configuration changes, which a secret alone does not", () => {
    const text = textOf(moduleOf("app.bicep"), "app");
    expect(text).toMatch(/name: 'CONFIGURATION_HASH'\s+value: uniqueString\(configuration\)/);
    expect(text).toMatch(/name: 'configuration'\s+value: configuration\n/);
    expect(moduleOf("app.bicep").root.text).toContain("var configuration = loadTextContent('../gateway.yaml')");
  });

  it("finds in each variable the secret of that name, from Key Vault to the program", () => {
    const named = env.flatMap(({ name, secretRef }) => (secretRef ? [[name, secretRef]] : []));
    expect(named.length).toBe(4);
    for (const [name = "", secret] of named) expect(secret).toBe(name.toLowerCase().replaceAll("_", "-"));
    const fetched = textOf(moduleOf("app.bicep"), "app").matchAll(/name: '([\w-]+)'\s+keyVaultUrl: secretUris\.(\w+)/g);
    const uris = [...fetched].map(([, name = "", uri = ""]) => [uri, name]);
    expect(uris.map(([, name]) => name).sort()).toEqual(named.map(([, secret]) => secret).sort());
    const { root } = moduleOf("vault.bicep");
    const kept = [...root.text.matchAll(/^ {2}(\w+): (\w+)\.properties\.secretUri$/gm)];
    const names = kept.map(([, uri = "", symbol = ""]) => [uri, at(resourceOf("vault.bicep", symbol), "name")]);
    expect(new Map(names as [string, string][])).toEqual(new Map(uris as [string, string][]));
  });
});
