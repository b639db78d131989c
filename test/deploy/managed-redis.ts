/**
 * Azure Managed Redis as of one API version, in the form of the libraries, none of which on the registry has it: the one
 * that there is knows the older Redis Enterprise alone. Written by hand after Microsoft's published Bicep types.
 */
import type { Library, Mapper } from "./arm-check.js";

const text = (serializedName: string, ...allowedValues: string[]): Mapper => ({
  serializedName,
  type: allowedValues.length > 0 ? { name: "Enum", allowedValues } : { name: "String" },
});
const model = (className: string, properties: readonly Mapper[]): Mapper => ({
  type: {
    name: "Composite",
    className,
    modelProperties: Object.fromEntries(properties.map((property) => [property.serializedName ?? "", property])),
  },
});
const required = (mapper: Mapper): Mapper => ({ ...mapper, required: true });

const sku: Mapper = {
  ...model("Sku", [required(text("name", "Balanced_B0", "Balanced_B1", "Balanced_B3", "Balanced_B5", "Balanced_B10"))]),
  serializedName: "sku",
};

export const managedRedis: Library = {
  versions: ["2025-07-01"],
  types: "",
  mappers: {
    "Microsoft.Cache/redisEnterprise": model("Cluster", [
      required(text("location")),
      required(sku),
      text("properties.highAvailability", "Enabled", "Disabled"),
      text("properties.minimumTlsVersion", "1.2"),
      required(text("properties.publicNetworkAccess", "Enabled", "Disabled")),
      { ...text("properties.hostName"), readOnly: true },
    ]),
    "Microsoft.Cache/redisEnterprise/databases": model("Database", [
      text("properties.accessKeysAuthentication", "Enabled", "Disabled"),
      text("properties.clientProtocol", "Encrypted", "Plaintext"),
      text("properties.clusteringPolicy", "EnterpriseCluster", "NoCluster", "OSSCluster"),
      text("properties.evictionPolicy", "AllKeysLFU", "AllKeysLRU", "NoEviction", "VolatileLRU", "VolatileTTL"),
      { serializedName: "properties.port", type: { name: "Number" } },
    ]),
  },
};
