import { readFileSync } from "node:fs";

/** What Node, its C library and the Azure SDK read by themselves, and the variable that names the file. */
const OTHERS = ["AZURE_CLIENT_ID", "GATEWAY_CONFIG", "MALLOC_ARENA_MAX", "NODE_OPTIONS"];

/** Those that neither this configuration nor the shipped one reads. */
export function unreadVariables(names: readonly string[], config: string): string[] {
  const texts = [config, "gateway.yaml"].map((file) => readFileSync(file, "utf8"));
  const read = texts.flatMap((text) => [...text.matchAll(/\$\{(\w+)/g)].map(([, name = ""]) => name));
  return names.filter((name) => ![...read, ...OTHERS].includes(name));
}
