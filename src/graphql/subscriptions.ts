/**
 * Subscriptions: checked as any operation is, then run once for each event, as a query on that event (GraphQL specification
 * §6.2.3). Nothing is fetched ahead: the next event is asked for when the one before it has been taken.
 */
import { unwrapResolverError } from "@apollo/server/errors";
import {
  createSourceEventStream,
  type DocumentNode,
  type ExecutionArgs,
  execute,
  type FragmentDefinitionNode,
  GraphQLError,
  type GraphQLFormattedError,
  type GraphQLSchema,
  getOperationAST,
  Kind,
  type OperationDefinitionNode,
  OperationTypeNode,
  parse,
  type SelectionSetNode,
  validate,
} from "graphql";
import { type ErrorCode, GatewayError } from "../errors.js";
import type { Events } from "../observe/events.js";
import { noteOperation, type RequestContext } from "./context.js";
import { allRules, type GraphqlSettings, parseOptions } from "./document.js";
import { codeOf, isWorthALine, MAX_ERRORS, withRequestId } from "./errors.js";
import { operationCheck } from "./operation-check.js";
import type { Overdue } from "./overdue.js";
import type { GraphqlRequest } from "./request.js";
import type { GraphqlResult } from "./server.js";
import type { TrustedDocuments } from "./trusted-documents.js";

interface SubscriptionsParts {
  readonly schema: GraphQLSchema;
  readonly settings: GraphqlSettings;
  readonly documents: TrustedDocuments;
  readonly events: Events;
  readonly overdue: Overdue;
  readonly translate: (formatted: GraphQLFormattedError, error: unknown) => GraphQLFormattedError;
}

interface Subscription {
  readonly request: GraphqlRequest;
  readonly document: DocumentNode;
  readonly operation: OperationDefinitionNode;
}

export class Subscriptions {
  readonly #parts: SubscriptionsParts;
  readonly #check: ReturnType<typeof operationCheck>;

  constructor(parts: SubscriptionsParts) {
    this.#parts = parts;
    this.#check = operationCheck(parts.settings.maxCost);
  }

  /** The subscription that is asked for; undefined for anything else, what cannot be read included. */
  find(request: GraphqlRequest): Subscription | undefined {
    try {
      const document = parse(request.query, parseOptions(this.#parts.settings));
      const operation = getOperationAST(document, request.operationName);
      if (operation?.operation !== OperationTypeNode.SUBSCRIPTION) return undefined;
      return { request, document, operation };
    } catch {
      return undefined;
    }
  }

  /** The results, once it is known whether there will be any; of a subscription that is refused the one that says so. */
  async begin(subscription: Subscription, contextNow: () => RequestContext): Promise<AsyncGenerator<GraphqlResult>> {
    const context = contextNow();
    noteOperation(context.outcome, subscription.operation);
    try {
      const refusals = this.#refusals(subscription);
      if (refusals.length > 0) return once(this.#failed(refusals, context));
      const { query, operationName = null, variables = {} } = subscription.request;
      this.#parts.documents.noteRun(query, operationName, context);
      const { schema, overdue } = this.#parts;
      const args = { schema, document: subscription.document, operationName, variableValues: variables };
      const begun = createSourceEventStream({ ...args, contextValue: context });
      const source = await overdue.inTime(begun, context.call.deadline);
      if (Symbol.asyncIterator in source) return this.#run(source, args, contextNow);
      return once(this.#failed((source.errors ?? []).map(asInputError), context));
    } catch (error) {
      return once(this.#failed([error], context));
    }
  }

  /** A result for each event, and a last one with errors if it ends by any. */
  async *#run(
    source: AsyncIterable<unknown>,
    args: ExecutionArgs,
    contextNow: () => RequestContext,
  ): AsyncGenerator<GraphqlResult> {
    const context = contextNow();
    try {
      for await (const event of source) {
        const contextValue = contextNow();
        const executed = Promise.resolve(execute({ ...args, rootValue: event, contextValue }));
        const { data, errors } = await this.#parts.overdue.inTime(executed, contextValue.call.deadline);
        yield { data: data ?? null, ...(errors && this.#failed(errors, contextValue)) };
      }
      const why: unknown = context.ended?.reason;
      if (why instanceof GatewayError) yield this.#failed([why], context);
    } catch (error) {
      yield this.#failed([error], context);
    }
  }

  /** What is wrong with it, before anything is looked up. Throws when it asks for too much, or brings what nobody could keep. */
  #refusals({ request, document, operation }: Subscription): readonly GraphQLError[] {
    const { schema, settings } = this.#parts;
    const options = { maxErrors: MAX_ERRORS, hideSuggestions: !settings.introspection };
    const errors = validate(schema, document, allRules(settings), options);
    if (errors.length > 0) return errors.map((error) => withCode(error, "GRAPHQL_VALIDATION_FAILED"));
    if (mayBeEmpty(operation.selectionSet, document))
      return [new GraphQLError(NO_SKIP, { nodes: operation, extensions: VALIDATION })];
    this.#check({ schema, document, operation, variables: request.variables ?? {} });
    return [];
  }

  #failed(errors: readonly unknown[], { call, outcome }: RequestContext): GraphqlResult {
    const told = errors.slice(0, MAX_ERRORS).map((error) => {
      const original = unwrapResolverError(error);
      if (isWorthALine(original)) this.#parts.events.requestFailed(call.requestId, original);
      const formatted = error instanceof GraphQLError ? error.toJSON() : { message: "" };
      return withRequestId(this.#parts.translate(formatted, error), call.requestId);
    });
    const [first] = told;
    if (first) outcome.code = codeOf(first);
    return { errors: told };
  }
}

/** As a stream. */
export async function* once<Result>(result: Result): AsyncGenerator<Result> {
  yield result;
}

const NO_SKIP = "The field of a subscription cannot be skipped: @skip and @include belong within it.";
const VALIDATION = { code: "GRAPHQL_VALIDATION_FAILED" };

/** Whether the root's one field is left out for some variables (GraphQL specification §5.2.4.1, as of 2025). */
function mayBeEmpty({ selections }: SelectionSetNode, document: DocumentNode): boolean {
  return selections.some((selection) => {
    if (selection.directives?.some(({ name }) => name.value === "skip" || name.value === "include")) return true;
    if (selection.kind === Kind.INLINE_FRAGMENT) return mayBeEmpty(selection.selectionSet, document);
    if (selection.kind !== Kind.FRAGMENT_SPREAD) return false;
    // Validated, so it is there and does not spread itself.
    const fragment = document.definitions.find(
      (node): node is FragmentDefinitionNode =>
        node.kind === Kind.FRAGMENT_DEFINITION && node.name.value === selection.name.value,
    );
    return fragment !== undefined && mayBeEmpty(fragment.selectionSet, document);
  });
}

/** What keeps a stream from beginning before any resolver, and so has no path, is a variable that is not of its type. */
function asInputError(error: GraphQLError): GraphQLError {
  const isCoded = error.path !== undefined || error.extensions.code !== undefined;
  return isCoded ? error : withCode(error, "BAD_USER_INPUT");
}

function withCode({ message, nodes }: GraphQLError, code: ErrorCode): GraphQLError {
  return new GraphQLError(message, { ...(nodes && { nodes }), extensions: { code } });
}
