/**
 * `node:http` in the bundle, without what an `import` of it costs. Node fills such an import by reading every export, and the one
 * of WebSocket loads the whole of undici, some tens of milliseconds of each start, for nothing.
 */
import http from "node:http";
import type { Plugin } from "rolldown";

const IDS = ["node:http", "http"];
const PLAIN = "\0node-http";

/** Those that are there without being made when they are read. */
const NAMES = Object.entries(Object.getOwnPropertyDescriptors(http))
  .filter(([, { get }]) => get === undefined)
  .map(([name]) => name);

export const nodeHttp: Plugin = {
  name: "node-http",
  resolveId: (id) => (IDS.includes(id) ? PLAIN : null),
  load: (id) => (id === PLAIN ? CODE : null),
};

const CODE = `
const http = process.getBuiltinModule("node:http");
export default http;
export const { ${NAMES.join(", ")} } = http;
`;
