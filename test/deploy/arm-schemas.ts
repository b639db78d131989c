/**
 * What Azure Resource Manager takes for a resource, as Microsoft's management libraries describe it: their mappers say
 * where each property goes in the request, of what type it is, whether it is required or read-only, and their
 * declarations which values are known. Each library is of one API version, and a resource has to name that one.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Check, type Library, type Mapper } from "./arm-check.js";
import type { Resource } from "./bicep.js";
import { managedRedis } from "./managed-redis.js";

/** Where a resource type is described: library, and the name of what is sent. */
const SOURCES: Readonly<Record<string, readonly [library: string, model: string]>> = {
  "Microsoft.App/containerApps": ["appcontainers/dist/esm", "ContainerApp"],
  "Microsoft.App/managedEnvironments": ["appcontainers/dist/esm", "ManagedEnvironment"],
  "Microsoft.Authorization/roleAssignments": ["authorization/dist-esm/src", "RoleAssignmentCreateParameters"],
  "Microsoft.Communication/communicationServices": ["communication/dist/esm", "CommunicationServiceResource"],
  "Microsoft.DBforPostgreSQL/flexibleServers": ["postgresql-flexible/dist/esm", "Server"],
  "Microsoft.DBforPostgreSQL/flexibleServers/databases": ["postgresql-flexible/dist/esm", "Database"],
  "Microsoft.KeyVault/vaults": ["keyvault/dist/esm", "VaultCreateOrUpdateParameters"],
  "Microsoft.KeyVault/vaults/secrets": ["keyvault/dist/esm", "SecretCreateOrUpdateParameters"],
  "Microsoft.ManagedIdentity/userAssignedIdentities": ["msi/dist/esm", "Identity"],
  "Microsoft.Network/privateDnsZones": ["privatedns/dist-esm/src", "PrivateZone"],
  "Microsoft.Network/privateDnsZones/virtualNetworkLinks": ["privatedns/dist-esm/src", "VirtualNetworkLink"],
  "Microsoft.Network/privateEndpoints": ["network/dist-esm/src", "PrivateEndpoint"],
  "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": ["network/dist-esm/src", "PrivateDnsZoneGroup"],
  "Microsoft.Network/virtualNetworks": ["network/dist-esm/src", "VirtualNetwork"],
  "Microsoft.OperationalInsights/workspaces": ["operationalinsights/dist-esm/src", "Workspace"],
};

const VERSION = /"(20\d\d-\d\d-\d\d)"/g;

const libraries = new Map<string, Promise<Library>>();

async function openLibrary(name: string): Promise<Library> {
  const folder = resolve(`node_modules/@azure/arm-${name}/models`);
  const { href } = pathToFileURL(`${folder}/mappers.js`);
  return {
    mappers: (await import(href)) as Library["mappers"],
    types: readFileSync(`${folder}/index.d.ts`, "utf8"),
    versions: [...readFileSync(`${folder}/parameters.js`, "utf8").matchAll(VERSION)].map(([, version = ""]) => version),
  };
}

/** One line for each fault. Rejects for a type that nothing here describes. */
export async function faultsInResource(resource: Resource): Promise<string[]> {
  const { library, mapper } = await describe(resource.type);
  return new Check(library).resource(mapper, resource);
}

/** Whether a resource that is there has this property. Rejects for a type that nothing here describes. */
export async function hasProperty({ type }: Resource, path: readonly string[]): Promise<boolean> {
  const { library, mapper } = await describe(type);
  return new Check(library).answers(mapper, path);
}

async function describe(type: string): Promise<{ library: Library; mapper: Mapper }> {
  const { library, model } = await find(type);
  const mapper = library.mappers[model];
  if (mapper === undefined) throw new Error(`no ${model} for ${type}`);
  return { library, mapper };
}

async function find(type: string): Promise<{ library: Library; model: string }> {
  if (managedRedis.mappers[type]) return { library: managedRedis, model: type };
  const [name, model] = SOURCES[type] ?? [];
  if (name === undefined || model === undefined) throw new Error(`no description of ${type}`);
  const opened = libraries.get(name) ?? openLibrary(name);
  libraries.set(name, opened);
  return { library: await opened, model };
}
