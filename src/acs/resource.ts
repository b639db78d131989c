import type { AcsAccess } from "../config/config.js";

/** The host of the resource that the gateway is connected to, such as contoso.communication.azure.com. */
export function resourceOf({ endpoint }: Pick<AcsAccess, "endpoint">): string {
  return new URL(endpoint).host;
}
