import { Metrics } from "../src/observe/metrics.js";

/** Every metric of the gateway's own, as a table for people. Those of Node and of the process are prom-client's. */
export async function metricsTable(): Promise<string> {
  const all = await new Metrics().list();
  const rows = all
    .filter(({ name }) => name.startsWith("gateway_"))
    .map(({ name, type, labels, help }) => `| \`${name}\` | ${type} | ${labels.map(code).join(", ")} | ${help} |`);
  return ["| metric | type | labels | |", "|---|---|---|---|", ...rows].join("\n");
}

function code(text: string): string {
  return `\`${text}\``;
}
