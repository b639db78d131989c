/** What is looked at once an operation is known and its document valid, before any of it is run. */
import type { GraphQLRequestContextDidResolveOperation } from "@apollo/server";
import { GraphQLError } from "graphql";
import { noteOperation, type RequestContext } from "./context.js";
import { costCheck, type Operation } from "./cost.js";
import { refuseUnstorable } from "./storable-text.js";

/** Throws BAD_USER_INPUT for a variable that nobody could keep, GRAPHQL_VALIDATION_FAILED for an operation over the limit. */
export function operationCheck(maxCost: number): (about: Operation) => void {
  const checkCost = costCheck(maxCost);
  return (about) => {
    refuseUnstorable(about.variables);
    checkCost(about);
  };
}

/** The same for what has one answer, which a subscription has not. */
export function oneAnswerCheck(
  maxCost: number,
): (about: GraphQLRequestContextDidResolveOperation<RequestContext>) => void {
  const check = operationCheck(maxCost);
  return ({ schema, document, operation, request: { variables = {} }, contextValue }) => {
    if (!operation) return refuseUnstorable(variables);
    noteOperation(contextValue.outcome, operation);
    if (operation.operation === "subscription")
      throw new GraphQLError(STREAM_NEEDED, { extensions: { code: "BAD_REQUEST" } });
    check({ schema, document, operation, variables });
  };
}

const STREAM_NEEDED =
  "A subscription has many answers: send it with accept: text/event-stream, or over a WebSocket (graphql-transport-ws).";
