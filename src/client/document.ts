/** Made by `npm run generate` from src/client/refresh.graphql. Do not edit. */
export const DOCUMENT =
  "mutation RefreshAccessToken($forceNew: Boolean, $lifetimeMinutes: Int, $scopes: [TokenScope!]!) { issueAccessToken( input: {scopes: $scopes, lifetimeMinutes: $lifetimeMinutes, forceNew: $forceNew} ) { accessToken { expiresOn refreshAfter token } userErrors { code message retryAfterSeconds } } }";

/** By GraphQL over HTTP, Appendix A. */
export const DOCUMENT_ID = "sha256:c9f1700eb552bc98b3e186fffed989269156c50f8c47a6090f7a77ad90e7b636";
