/**
 * The gateway as an Azure Functions app: what the platform's worker loads (Node programming model v4).
 *
 * A request comes from the platform as an `HttpRequest`, is sent on over loopback to the gateway's own HTTP server in this process
 * (`forward.ts`), and goes through everything that it would go through elsewhere. A timer wakes an instance, so that what has been
 * promised is carried out when no request comes (`functions-gateway.ts`). What is particular to the place is in
 * `functions-config.ts`. All is registered at once, as the worker asks for, and the start of the gateway begins then and there: a
 * first request waits for what is left of it.
 */
import { app, type HttpMethod } from "@azure/functions";
import { tuneV8 } from "../heap.js";
import { logOutput } from "../observe/log-output.js";
import { authLevelOf, workScheduleOf } from "./functions-config.js";
import { FunctionsGateway } from "./functions-gateway.js";

/** What is not served is refused by the gateway, which says what is. TRACE and CONNECT no `HttpRequest` can be made of. */
const METHODS: HttpMethod[] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

tuneV8();
const { env, stdout, stderr } = process;
const gateway = new FunctionsGateway({
  env,
  logDestination: logOutput(stdout, Date.now),
  standardOutput: stdout,
  standardError: stderr,
  elapsed: () => performance.now(),
});

// Of the functions whose route fits, the platform takes the first by the alphabet, whatever its route: what fits every path is last.
// For the platform's health check and monitors, which have no key.
app.http("health", {
  route: "health/{state}",
  methods: METHODS,
  authLevel: "anonymous",
  handler: (request, { invocationId }) => gateway.answer(request, invocationId),
});
app.http("metrics", {
  route: "metrics",
  methods: ["GET"],
  authLevel: "function",
  handler: (_, { invocationId }) => gateway.metrics(invocationId),
});
app.http("requests", {
  route: "{*path}",
  methods: METHODS,
  authLevel: authLevelOf(env),
  handler: (request, { invocationId }) => gateway.answer(request, invocationId),
});
app.timer("work", { schedule: workScheduleOf(env), handler: () => gateway.finishWork() });
app.hook.appTerminate(() => gateway.close());

void gateway.begin();
