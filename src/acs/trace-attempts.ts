import type { Tracing } from "../observe/tracing.js";
import type { RequestPolicy } from "./credentials-azure.js";

/**
 * A span for each request to the service, which is told of the trace (W3C Trace Context). By a policy of the client's own: what
 * it has for tracing is one for the whole process, and tells addresses, in which identities stand.
 */
export function traceAttempts(tracing: Tracing): RequestPolicy {
  return {
    name: "gatewayTracing",
    sendRequest: (request, next) => {
      const { method } = request;
      const { hostname, pathname } = new URL(request.url);
      const template = templateOf(pathname);
      const attributes = { "http.request.method": method, "server.address": hostname, "url.template": template };
      return tracing.span({ name: `${method} ${template}`, kind: "client", attributes }, async (describe) => {
        for (const [name, value] of Object.entries(tracing.headers())) request.headers.set(name, value);
        const response = await next(request);
        describe({ "http.response.status_code": response.status });
        return response;
      });
    },
  };
}

/** The path without whose identity it is. */
function templateOf(path: string): string {
  return path.replace(/^(\/identities\/)[^/]+?(?=$|\/)/, "$1{id}");
}
