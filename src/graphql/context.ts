import type { OperationDefinitionNode } from "graphql";
import type { ErrorCode } from "../errors.js";
import type { IdentityReader } from "../identities/reader.js";
import type { Call } from "../policy/call.js";

/** What a request came to, filled in on the way: for the log, the metrics and the trace. */
export interface Outcome {
  /** The first error's, once its errors are translated. */
  code: ErrorCode | "OK";
  /** Of the operation that is run, cut. */
  operationName: string | null;
  operationType: string | null;
}

export function newOutcome(): Outcome {
  return { code: "OK", operationName: null, operationType: null };
}

const MAX_NAME_LENGTH = 100;

export function noteOperation(outcome: Outcome, { operation, name }: OperationDefinitionNode): void {
  outcome.operationName = name?.value.slice(0, MAX_NAME_LENGTH) ?? null;
  outcome.operationType = operation;
}

/** The facts of one request, for the resolvers. Services are not among them: a resolver gets those when it is made. */
export interface RequestContext {
  readonly call: Call;
  readonly identities: IdentityReader;
  /** Of a request whose answer is a stream: when no more of it is wanted, or may be sent. */
  readonly ended?: AbortSignal;
  readonly outcome: Outcome;
}
