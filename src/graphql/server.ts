/**
 * GraphQL by Apollo Server, without its web server: `http/` hands over a parsed request and a context, and writes what
 * comes back. One plugin sets the HTTP status and headers from the answer's errors.
 */
import { ApolloServer, type ApolloServerPlugin, HeaderMap } from "@apollo/server";
import { unwrapResolverError } from "@apollo/server/errors";
import {
  ApolloServerPluginCacheControlDisabled,
  ApolloServerPluginInlineTraceDisabled,
  ApolloServerPluginLandingPageDisabled,
  ApolloServerPluginSchemaReportingDisabled,
  ApolloServerPluginUsageReportingDisabled,
} from "@apollo/server/plugin/disabled";
import type { GraphQLFormattedError, GraphQLSchema } from "graphql";
import { errorKind, GatewayError } from "../errors.js";
import { RateLimited } from "../limits/quota.js";
import type { Events } from "../observe/events.js";
import type { RequestContext } from "./context.js";
import { costLimit } from "./cost.js";
import { documentRules, type GraphqlSettings, parseOptions, whyNotParsed } from "./document.js";
import { codeOf, MAX_ERRORS, shortData, translateError, withoutSuggestion } from "./errors.js";
import { isObject, type ManifestFile } from "./manifest.js";
import { storableVariables } from "./storable-text.js";
import { TrustedDocuments } from "./trusted-documents.js";

interface GraphqlServerParts {
  readonly schema: GraphQLSchema;
  readonly settings: GraphqlSettings;
  readonly manifests: readonly ManifestFile[];
  readonly events: Events;
}

/** An answer as it goes out. */
interface GraphqlAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface GraphqlServer {
  /** Runs the operation in the parsed body of a POST; `accept` is the header that chooses the answer's media type. */
  execute(body: unknown, accept: string | undefined, context: RequestContext): Promise<GraphqlAnswer>;
  stop(): Promise<void>;
}

/** Throws a `StartError` for a manifest that cannot be used. */
export async function createGraphqlServer(parts: GraphqlServerParts): Promise<GraphqlServer> {
  const { schema, settings, events } = parts;
  const documents = new TrustedDocuments(parts);
  const { introspection } = settings;
  const server = new ApolloServer<RequestContext>({
    schema,
    introspection,
    parseOptions: parseOptions(settings),
    validationOptions: { maxErrors: MAX_ERRORS, hideSuggestions: !introspection },
    includeStacktraceInErrorResponses: false,
    allowBatchedHttpRequests: false,
    persistedQueries: false,
    stopOnTerminationSignals: false,
    validationRules: documentRules(settings),
    executionOptions: { maxCoercionErrors: MAX_ERRORS },
    formatError: (formatted, error) => translateError(introspection ? formatted : withoutSuggestion(formatted), error),
    logger: silent,
    plugins: [
      storableVariables,
      costLimit(settings.maxCost),
      documents.log,
      answerByErrors(events),
      ApolloServerPluginCacheControlDisabled(),
      ApolloServerPluginInlineTraceDisabled(),
      ApolloServerPluginLandingPageDisabled(),
      ApolloServerPluginSchemaReportingDisabled(),
      ApolloServerPluginUsageReportingDisabled(),
    ],
  });
  await server.start();
  return {
    execute: async (body, accept, context) => {
      const request = documents.resolve(body, context);
      refuseUnparsed(request, settings);
      return await execute(server, request, accept, context);
    },
    stop: () => server.stop(),
  };
}

function refuseUnparsed(request: unknown, settings: GraphqlSettings): void {
  const query = isObject(request) ? request.query : undefined;
  const why = typeof query === "string" ? whyNotParsed(query, settings) : undefined;
  if (why !== undefined) throw new GatewayError("GRAPHQL_PARSE_FAILED", why);
}

async function execute(
  server: ApolloServer<RequestContext>,
  body: unknown,
  accept: string | undefined,
  context: RequestContext,
): Promise<GraphqlAnswer> {
  // Apollo reads the media types only; nothing else of the request is its business.
  const headers = new HeaderMap([["content-type", "application/json"]]);
  if (accept !== undefined) headers.set("accept", accept);
  const response = await server.executeHTTPGraphQLRequest({
    httpGraphQLRequest: { method: "POST", headers, search: "", body },
    context: async () => context,
  });
  if (response.body.kind !== "complete") throw new Error("incremental delivery is not part of this schema");
  const status = response.status ?? 200;
  // Apollo refuses a request that is not well-formed before the plugin below sees it.
  if (status >= 400 && context.outcome.code === "OK") context.outcome.code = "BAD_REQUEST";
  return { status, headers: Object.fromEntries(response.headers), body: response.body.string };
}

/** What Apollo would log reaches the log by `events`, once. */
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

function answerByErrors(events: Events): ApolloServerPlugin<RequestContext> {
  return {
    requestDidStart: async () => ({
      didEncounterErrors: async ({ errors, contextValue }) => {
        // Many fields can fail of one cause; it is told once.
        const told = new Set<string>();
        for (const error of errors) {
          const original = unwrapResolverError(error);
          if (original instanceof RateLimited) contextValue.call.quotas.push(original.quota);
          if (told.has(String(original)) || !isWorthALine(original)) continue;
          told.add(String(original));
          events.requestFailed(contextValue.call.requestId, original);
        }
      },
      willSendResponse: async ({ response, contextValue }) => {
        if (response.body.kind !== "single") return;
        const { errors, data } = response.body.singleResult;
        const [first] = errors ?? [];
        if (errors === undefined || first === undefined) return;
        const code = codeOf(first);
        contextValue.outcome.code = code;
        const failed = isEmpty(data);
        // A whole failure is told in few words; of a partial one each error has its place in the data.
        const told = failed ? errors.slice(0, MAX_ERRORS) : errors;
        response.body.singleResult.errors = told.map((error) => withRequestId(error, contextValue.call.requestId));
        if (data && failed) response.body.singleResult.data = shortData(data);
        const retryAfter = first.extensions?.retryAfterSeconds;
        if (typeof retryAfter === "number") response.http.headers.set("retry-after", String(retryAfter));
        response.http.status = failed ? (errorKind(code)?.status ?? 500) : 200;
      },
    }),
  };
}

/** A dependency's failure has a cause to log; a refusal by policy or limits is in the request's own line; the rest are bugs. */
function isWorthALine(error: unknown): boolean {
  if (error instanceof GatewayError) return error.cause !== undefined;
  return codeOf(translateError({ message: "", extensions: extensionsIn(error) }, error)) === "INTERNAL_SERVER_ERROR";
}

function extensionsIn(error: unknown): Record<string, unknown> {
  return (error as { extensions?: Record<string, unknown> }).extensions ?? {};
}

/** Masked errors carry the id under which the log has the cause. */
function withRequestId(error: GraphQLFormattedError, requestId: string): GraphQLFormattedError {
  if (codeOf(error) !== "INTERNAL_SERVER_ERROR") return error;
  return { ...error, extensions: { ...error.extensions, requestId } };
}

/** No data at all, or every root field null: the request as a whole has failed. */
function isEmpty(data: Record<string, unknown> | null | undefined): boolean {
  return data === null || data === undefined || Object.values(data).every((value) => value === null);
}
