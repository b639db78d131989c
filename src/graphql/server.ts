/**
 * GraphQL by Apollo Server, without its web server: `http/` hands over a parsed request and a context, and writes what
 * comes back. One plugin checks the operation before it is run, and sets the HTTP status and headers from the answer's errors.
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
import {
  type FormattedExecutionResult,
  type GraphQLFormattedError,
  type GraphQLSchema,
  TypeNameMetaFieldDef,
} from "graphql";
import { errorKind, GatewayError } from "../errors.js";
import { RateLimited } from "../limits/quota.js";
import type { Events } from "../observe/events.js";
import type { RequestContext } from "./context.js";
import { documentRules, type GraphqlSettings, parseOptions, rememberingWhyNotParsed } from "./document.js";
import { documentStore } from "./document-store.js";
import {
  codeOf,
  isWorthALine,
  MAX_ERRORS,
  shortData,
  translateError,
  withoutSuggestion,
  withRequestId,
} from "./errors.js";
import { compilingGateway } from "./executor.js";
import type { ManifestFile } from "./manifest.js";
import { oneAnswerCheck } from "./operation-check.js";
import { Overdue } from "./overdue.js";
import { type GraphqlRequest, readRequest } from "./request.js";
import { once, Subscriptions } from "./subscriptions.js";
import { TrustedDocuments } from "./trusted-documents.js";

interface GraphqlServerParts {
  readonly schema: GraphQLSchema;
  readonly settings: GraphqlSettings;
  readonly manifests: readonly ManifestFile[];
  readonly events: Events;
  /** Told of what a request has begun and goes on beyond its time: the request is answered. */
  readonly onGivenUp: (work: Promise<unknown>) => void;
}

/** What GraphQL has to say, its errors translated. */
export type GraphqlResult = FormattedExecutionResult;

/** An answer as it goes out. */
interface GraphqlAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface GraphqlServer {
  /** Runs the operation in the parsed body of a POST. Throws what goes wrong before GraphQL, and when its time is up. */
  execute(body: unknown, context: RequestContext): Promise<GraphqlAnswer>;
  /**
   * Runs an operation whose results come one after the other, or any other for its one result. `contextNow` makes a context for
   * each; what it brings in `ended` ends the stream. Throws what `execute` does.
   */
  stream(body: unknown, contextNow: () => RequestContext): Promise<AsyncGenerator<GraphqlResult>>;
  stop(): Promise<void>;
}

/** Throws a `StartError` for a manifest that cannot be used. */
export async function createGraphqlServer(parts: GraphqlServerParts): Promise<GraphqlServer> {
  const { schema, settings, events } = parts;
  const overdue = new Overdue(parts.onGivenUp);
  const documents = new TrustedDocuments(parts);
  const { introspection } = settings;
  const translate = (error: GraphQLFormattedError, original: unknown) =>
    translateError(introspection ? error : withoutSuggestion(error), original);
  const plugins: ApolloServerPlugin<RequestContext>[] = [
    ownPlugin({ settings, documents, events }),
    ApolloServerPluginCacheControlDisabled(),
    ApolloServerPluginInlineTraceDisabled(),
    ApolloServerPluginLandingPageDisabled(),
    ApolloServerPluginSchemaReportingDisabled(),
    ApolloServerPluginUsageReportingDisabled(),
  ];
  const server = new ApolloServer<RequestContext>({
    gateway: compilingGateway(schema, MAX_ERRORS),
    introspection,
    parseOptions: parseOptions(settings),
    documentStore: documentStore(),
    validationOptions: { maxErrors: MAX_ERRORS, hideSuggestions: !introspection },
    includeStacktraceInErrorResponses: false,
    persistedQueries: false,
    stopOnTerminationSignals: false,
    validationRules: documentRules(settings),
    formatError: translate,
    logger: silent,
    plugins,
  });
  await server.start();
  // Those that only say what is not to be had have said it. Apollo asks every plugin that it has of each request.
  plugins.splice(0, plugins.length, ...plugins.filter(({ requestDidStart }) => requestDidStart));
  const whyNotParsed = rememberingWhyNotParsed(settings);
  const read = (body: unknown, context: RequestContext): GraphqlRequest => {
    const request = readRequest(documents.resolve(body, context));
    const why = whyNotParsed(request.query);
    if (why !== undefined) throw new GatewayError("GRAPHQL_PARSE_FAILED", why);
    return request;
  };
  const run = (request: GraphqlRequest, context: RequestContext) =>
    overdue.inTime(execute(server, request, context), context.call.deadline);
  const subscriptions = new Subscriptions({ schema, settings, documents, events, overdue, translate });
  return {
    execute: async (body, context) => {
      const { http, result } = await run(read(body, context), context);
      const { errors, data } = result;
      return {
        status: http.status ?? 200,
        headers: Object.fromEntries(http.headers),
        body: JSON.stringify({ errors, data }),
      };
    },
    stream: async (body, contextNow) => {
      const context = contextNow();
      const request = read(body, context);
      const subscription = subscriptions.find(request);
      if (subscription) return await subscriptions.begin(subscription, contextNow);
      const { result } = await run(request, context);
      return once(result as GraphqlResult);
    },
    stop: () => server.stop(),
  };
}

async function execute(server: ApolloServer<RequestContext>, request: GraphqlRequest, contextValue: RequestContext) {
  const { body, http } = await server.executeOperation(request, { contextValue });
  if (body.kind !== "single") throw new Error("incremental delivery is not part of this schema");
  return { http, result: body.singleResult };
}

/** What Apollo would log reaches the log by `events`, once. */
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

interface PluginParts extends Pick<GraphqlServerParts, "settings" | "events"> {
  readonly documents: TrustedDocuments;
}

/** All that is ours in Apollo's pipeline; one, as Apollo waits for each of them at each step. */
function ownPlugin({ settings, documents, events }: PluginParts): ApolloServerPlugin<RequestContext> {
  const check = oneAnswerCheck(settings.maxCost);
  const listener: GraphQLRequestListener<RequestContext> = {
    didResolveOperation: async (about) => {
      documents.noteRun(about.source, about.operationName, about.contextValue);
      check(about);
    },
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
  const started = Promise.resolve(listener);
  return { requestDidStart: () => started };
}

/** No data at all, or every root field null but for the name of the root's type: the request as a whole has failed. */
function isEmpty(data: Record<string, unknown> | null | undefined): boolean {
  return Object.entries(data ?? {}).every(([name, value]) => value === null || name === TypeNameMetaFieldDef.name);
}
