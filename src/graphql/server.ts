/**
 * GraphQL by Apollo Server, without its web server: `http/` hands over a parsed request and a context, and writes what
 * comes back. One plugin sets the HTTP status and headers from the answer's errors.
 */
import { ApolloServer, type ApolloServerPlugin, type GraphQLRequestListener } from "@apollo/server";
import { unwrapResolverError } from "@apollo/server/errors";
import {
  ApolloServerPluginCacheControlDisabled,
  ApolloServerPluginInlineTraceDisabled,
  ApolloServerPluginLandingPageDisabled,
  ApolloServerPluginSchemaReportingDisabled,
  ApolloServerPluginUsageReportingDisabled,
} from "@apollo/server/plugin/disabled";
import { type GraphQLFormattedError, type GraphQLSchema, TypeNameMetaFieldDef } from "graphql";
import { errorKind, GatewayError } from "../errors.js";
import { RateLimited } from "../limits/quota.js";
import type { Events } from "../observe/events.js";
import type { RequestContext } from "./context.js";
import { costLimit } from "./cost.js";
import { documentRules, type GraphqlSettings, parseOptions, rememberingWhyNotParsed } from "./document.js";
import { codeOf, MAX_ERRORS, shortData, translateError, withoutSuggestion } from "./errors.js";
import { compilingGateway } from "./executor.js";
import type { ManifestFile } from "./manifest.js";
import { type GraphqlRequest, readRequest } from "./request.js";
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
  /** Runs the operation in the parsed body of a POST. */
  execute(body: unknown, context: RequestContext): Promise<GraphqlAnswer>;
  stop(): Promise<void>;
}

/** Throws a `StartError` for a manifest that cannot be used. */
export async function createGraphqlServer(parts: GraphqlServerParts): Promise<GraphqlServer> {
  const { schema, settings, events } = parts;
  const documents = new TrustedDocuments(parts);
  const { introspection } = settings;
  const server = new ApolloServer<RequestContext>({
    gateway: compilingGateway(schema, MAX_ERRORS),
    introspection,
    parseOptions: parseOptions(settings),
    validationOptions: { maxErrors: MAX_ERRORS, hideSuggestions: !introspection },
    includeStacktraceInErrorResponses: false,
    persistedQueries: false,
    stopOnTerminationSignals: false,
    validationRules: documentRules(settings),
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
  const whyNotParsed = rememberingWhyNotParsed(settings);
  return {
    execute: async (body, context) => {
      const request = readRequest(documents.resolve(body, context));
      const why = whyNotParsed(request.query);
      if (why !== undefined) throw new GatewayError("GRAPHQL_PARSE_FAILED", why);
      return await execute(server, request, context);
    },
    stop: () => server.stop(),
  };
}

async function execute(
  server: ApolloServer<RequestContext>,
  request: GraphqlRequest,
  context: RequestContext,
): Promise<GraphqlAnswer> {
  const { body, http } = await server.executeOperation(request, { contextValue: context });
  if (body.kind !== "single") throw new Error("incremental delivery is not part of this schema");
  const { errors, data } = body.singleResult;
  return {
    status: http.status ?? 200,
    headers: Object.fromEntries(http.headers),
    body: JSON.stringify({ errors, data }),
  };
}

/** What Apollo would log reaches the log by `events`, once. */
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

function answerByErrors(events: Events): ApolloServerPlugin<RequestContext> {
  const listener: GraphQLRequestListener<RequestContext> = {
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
  };
  return { requestDidStart: async () => listener };
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

/** No data at all, or every root field null but for the name of the root's type: the request as a whole has failed. */
function isEmpty(data: Record<string, unknown> | null | undefined): boolean {
  return Object.entries(data ?? {}).every(([name, value]) => value === null || name === TypeNameMetaFieldDef.name);
}
