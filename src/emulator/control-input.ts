import { ServiceError } from "./errors.js";
import type { JsonObject } from "./http.js";

// Reads the fields of a control request. Every fault is a 400 whose message names the field and what it may be.

export function badControlRequest(message: string): ServiceError {
  return new ServiceError({ status: 400, code: "BadControlRequest", message });
}

export function checkFields(body: JsonObject, known: readonly string[]): void {
  const unknown = Object.keys(body).find((name) => !known.includes(name));
  if (unknown !== undefined) throw badControlRequest(`There is no field "${unknown}". There are: ${known.join(", ")}.`);
}

export function oneOf<T extends string>(body: JsonObject, name: string, choices: readonly T[]): T {
  const choice = choices.find((candidate) => candidate === body[name]);
  if (choice === undefined) throw badControlRequest(`"${name}" must be one of ${choices.join(", ")}.`);
  return choice;
}

/** Undefined if the field is absent. */
export function integer(body: JsonObject, name: string, range: readonly [number, number]): number | undefined {
  const value = body[name];
  const [least, most] = range;
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
  throw badControlRequest(`"${name}" must be an integer from ${least} to ${most}.`);
}

/** Undefined if the field is absent. */
export function text(body: JsonObject, name: string): string | undefined {
  const value = body[name];
  if (value === undefined || typeof value === "string") return value;
  throw badControlRequest(`"${name}" must be a string.`);
}

/** Undefined if the field is absent. */
export function flag(body: JsonObject, name: string): boolean | undefined {
  const value = body[name];
  if (value === undefined || typeof value === "boolean") return value;
  throw badControlRequest(`"${name}" must be true or false.`);
}
