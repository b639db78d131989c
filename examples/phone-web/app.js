/**
 * A phone in a web page: signs its user in, gets a communication token by the client package, keeps it fresh, and revokes it
 * at sign-out. In a real app an `AzureCommunicationTokenCredential` takes the refresher and does what `keepFresh` does here.
 */
import { createTokenRefresher } from "./client/client.js"; // in your app: "acs-token-gateway/client"
import { SignedOut, SignIn } from "./sign-in.js";
import { inPlainWords } from "./words.js";

const settings = await (await fetch("/examples/phone/settings.json")).json();
const signIn = new SignIn({ ...settings, redirectUri: location.origin + location.pathname });
const byId = (id) => document.getElementById(id);

/** How long signing out waits for the gateway. */
const SIGN_OUT_MS = 5000;
/** Aborted at sign-out, and every refresh with it. Signing in leaves the page and comes back to a new one. */
const session = new AbortController();
/** The token at hand: `token`, `scopes`, `expiresOnTimestamp`, `refreshAfterTimestamp`. */
let current;
/** Gets the next one. */
let refresher = newRefresher();
let timer;

function newRefresher(options = {}) {
  const scopes = wantedScopes();
  const refresh = createTokenRefresher({
    url: settings.gateway,
    getCallerToken: ({ forceRefresh }) => signIn.accessToken({ forceRefresh }),
    scopes,
    ...options,
    clientName: "phone-web",
    signal: session.signal,
    onRetry: ({ code }, seconds) => say(`${inPlainWords(code)} Trying again in ${Math.ceil(seconds)} s.`, "bad"),
  });
  return async () => ({ ...(await refresh()), scopes });
}

async function getToken() {
  await take(refresher).catch((error) => {
    tell(error);
    if (canPass(error)) keepFresh();
  });
}

/** The package takes a sign-in that fails before a refresher's first token for final. Here it is only if nobody is signed in. */
function canPass({ retryable, code, cause }) {
  return retryable || (code === "CALLER_TOKEN_UNAVAILABLE" && !(cause instanceof SignedOut));
}

/** One that was never handed out before, for what is ticked now; and so from here on. */
async function getOther() {
  if (wantedScopes().length === 0) return say("Ask for something.", "bad");
  await take(newRefresher({ forceNew: true }));
  // It has had no token itself, and would take its next one for a first, that somebody waits for.
  refresher = newRefresher({ giveUpAfterSeconds: Infinity });
  await showWho();
}

async function take(refresh) {
  current = await refresh();
  byId("scopes").replaceChildren(...current.scopes.map(chip));
  say();
  draw();
  keepFresh();
}

/**
 * At `refreshAfter`, which the gateway spreads, so that phones which started together do not come back together. A phone
 * whose clock is wrong takes a minute all the same.
 */
function keepFresh() {
  clearTimeout(timer);
  timer = setTimeout(getToken, Math.max(60_000, (current?.refreshAfterTimestamp ?? 0) - Date.now()));
}

/** A phone that slept has missed its timer. */
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && current && Date.now() > current.refreshAfterTimestamp) void getToken();
});

async function start() {
  await signIn.complete().catch(tell);
  if (!signIn.isSignedIn) return showView("signed-out");
  showView("signed-in");
  await getToken();
  await showWho();
}

/**
 * Stops refreshing, revokes what was issued, and then forgets the user: in this order, and the last in any case, however
 * long the network takes.
 */
async function signOut() {
  clearTimeout(timer);
  session.abort();
  const revocation = ask(
    'mutation RevokeMyAccessTokens { revokeAccessTokens(input: { reason: "signed out" }) { effectiveBy userErrors { code } } }',
  );
  const patience = new Promise((resolve) => setTimeout(resolve, SIGN_OUT_MS));
  const answer = await Promise.race([revocation, patience]).catch(() => undefined);
  signIn.forget();
  current = undefined;
  showView("signed-out");
  const by = answer?.revokeAccessTokens.effectiveBy;
  say(
    by
      ? `Signed out. No token works after ${new Date(by).toLocaleTimeString()}.`
      : "Signed out. Your last token ends by itself.",
  );
}

async function showWho() {
  const { viewer } = await ask("query Viewer { viewer { user { subject } identity { communicationUserId } } }");
  byId("user").textContent = viewer.user.subject;
  byId("identity").textContent = viewer.identity?.communicationUserId ?? "nobody yet";
}

async function ask(query) {
  const response = await fetch(settings.gateway, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${await signIn.accessToken()}` },
    body: JSON.stringify({ query }),
  });
  const { data, errors } = await response.json();
  if (errors) throw Object.assign(new Error(errors[0].message), { code: errors[0].extensions.code });
  return data;
}

function wantedScopes() {
  return [...document.querySelectorAll("#wanted input:checked")].map(({ value }) => value);
}

function showView(name) {
  for (const id of ["signed-out", "signed-in"]) byId(id).hidden = id !== name;
}

function chip(text) {
  const item = document.createElement("li");
  item.textContent = text;
  return item;
}

function draw() {
  const left = (until) => clock((until ?? 0) - Date.now());
  byId("expires").textContent = current ? left(current.expiresOnTimestamp) : "no token";
  byId("refresh").textContent = current
    ? `until this token ends · the next one in ${left(current.refreshAfterTimestamp)}`
    : "";
  byId("caller").textContent = `caller token: ${left(signIn.accessTokenExpiresAt)}, renewed before that`;
}
setInterval(draw, 250);

/** The caller token is renewed shortly before it ends. What can pass is tried again at the next turn, and not told. */
async function renewCallerToken() {
  if (!signIn.isSignedIn) return;
  await signIn.accessToken().catch((error) => {
    if (error instanceof SignedOut) tell(error);
  });
}
setInterval(renewCallerToken, 5000);

function clock(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const parts = [seconds / 3600, (seconds / 60) % 60, seconds % 60];
  return parts.map((part) => String(Math.floor(part)).padStart(2, "0")).join(":");
}

function tell(error) {
  if (error.name === "AbortError") return;
  const signedOut = [error, error.cause].find((each) => each instanceof SignedOut);
  if (signedOut) showView("signed-out");
  // Without a network `fetch` throws a TypeError.
  const code = (signedOut ?? error).code ?? (error instanceof TypeError ? "NETWORK_ERROR" : error.message);
  say(inPlainWords(code), "bad");
}

function say(text = "", kind = "") {
  const notice = byId("notice");
  notice.textContent = text;
  notice.className = kind;
  notice.hidden = text === "";
}

for (const [id, action] of Object.entries({
  "sign-in": () => signIn.begin(),
  "new-token": getOther,
  "sign-out": signOut,
})) {
  byId(id).addEventListener("click", async () => {
    byId(id).disabled = true;
    await action().catch(tell);
    byId(id).disabled = false;
  });
}
await start().catch(tell);
