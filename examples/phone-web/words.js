/** What a user is told, by the code of a refusal. docs/errors/ has a page for each. */
const WORDS = {
  SCOPE_NOT_ALLOWED: "You may not have all of that. Ask for less.",
  IDENTITY_SUSPENDED: "You are locked out. Please contact your administrator.",
  IDENTITY_DELETING: "Your account is being deleted.",
  REVOCATION_PENDING: "Your old tokens are being revoked.",
  RATE_LIMITED: "That was a lot in a short time.",
  UNAUTHENTICATED: "Please sign in again.",
  CALLER_TOKEN_UNAVAILABLE: "Your sign-in cannot be renewed just now.",
  NETWORK_ERROR: "There is no connection.",
  TIMEOUT: "This takes unusually long.",
  UNEXPECTED_ANSWER: "The service does not answer as it should.",
  access_denied: "You have cancelled.",
};

export function inPlainWords(code) {
  return WORDS[code] ?? (code.endsWith("_UNAVAILABLE") ? "The service is busy." : `Something went wrong (${code}).`);
}
