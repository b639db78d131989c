import { Secret } from "./secret.js";

/** Every secret of a configuration, or of any other value, wherever in it. */
export function secretsIn(value: unknown): Secret[] {
  if (value instanceof Secret) return [value];
  return value !== null && typeof value === "object" ? Object.values(value).flatMap(secretsIn) : [];
}
