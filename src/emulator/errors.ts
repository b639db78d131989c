import { type Answer, jsonAnswer } from "./answer.js";

export interface ErrorFields {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly target?: string;
  readonly headers?: Record<string, string>;
}

/** A request that the service refuses, answered as `{error: {code, message, target?}}`. */
export class ServiceError extends Error {
  readonly fields: ErrorFields;

  constructor(fields: ErrorFields) {
    super(fields.message);
    this.name = "ServiceError";
    this.fields = fields;
  }
}

/** Anything else is a bug of the emulator: a 500 that says what broke, since its caller is a developer. */
export function errorAnswer(error: unknown): Answer {
  if (error instanceof ServiceError) {
    const { status, code, message, target, headers } = error.fields;
    return jsonAnswer(status, { error: { code, message, target } }, headers);
  }
  const message = error instanceof Error ? error.message : String(error);
  return jsonAnswer(500, { error: { code: "InternalServerError", message: `The emulator failed: ${message}` } });
}

// The codes and messages below were recorded from the service by the Azure SDKs' own tests, unless marked otherwise.

export function validationError(message: string, target: string): ServiceError {
  return new ServiceError({ status: 400, code: "ValidationError", message, target });
}

/** Whatever is wrong with the signature, the answer is the same. */
export function denied(): ServiceError {
  return new ServiceError({ status: 401, code: "Denied", message: "Denied by the resource provider." });
}

/** Recorded for identities of other resources; that a deleted one gets the same is an assumption. */
export function identityNotOwned(): ServiceError {
  const message = "Provided identity doesn't belong to the resource.";
  return new ServiceError({ status: 401, code: "IdentityNotOwned", message });
}

export function invalidAccessToken(): ServiceError {
  const message = "Provided access token is not valid.";
  return new ServiceError({ status: 401, code: "InvalidAccessToken", message });
}
