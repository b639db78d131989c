/** What a user sees of the development issuer. No script, and nothing from elsewhere. */
import type { Answer } from "../../http/answer.js";
import type { AuthorizationRequest } from "./authorization-request.js";
import { type Html, html } from "./html.js";
import type { Parameters } from "./parameters.js";

interface PickedUser {
  readonly subject: string;
  readonly roles: string;
  readonly label: string;
}

const USERS: readonly PickedUser[] = [
  { subject: "alice", roles: "", label: "a member" },
  { subject: "bob", roles: "", label: "a member" },
  { subject: "ada", roles: "Gateway.Admin", label: "an administrator" },
];

const LIVES: readonly (readonly [seconds: string, label: string])[] = [
  ["43200", "12 hours"],
  ["3600", "an hour"],
  ["60", "a minute, to see it renewed"],
];

const STYLE = html`
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { margin: 0; display: grid; place-items: center; min-height: 100vh; background: Canvas; color: CanvasText }
main { box-sizing: border-box; width: min(26rem, 100%); padding: 1.5rem }
h1 { font-size: 1.4rem; margin: 0 0 .25rem }
h2 { font-size: 1rem; margin: 1.5rem 0 .5rem }
p { margin: 0 0 1rem; opacity: .75 }
form { margin: 0 0 .5rem }
label { display: block; margin: 0 0 .75rem }
input, select, button { font: inherit; box-sizing: border-box; width: 100%; padding: .6rem .8rem; border: 1px solid #8888; border-radius: .6rem }
button { cursor: pointer; text-align: left; background: #8881 }
button:hover { background: #8883 }
button small { opacity: .7 }
button.main { text-align: center; background: #2456d6; color: #fff; border-color: #2456d6 }
button.plain { text-align: center; border-color: transparent }
code { overflow-wrap: anywhere }
`;

/** `parameters` are those of the request, which the page sends once more with the choice: nothing is kept meanwhile. */
export function signInPage(request: AuthorizationRequest, parameters: Parameters): Answer {
  const { clientId, redirectUri, loginHint = "" } = request;
  const action = `/sign-in?${parameters.text}`;
  const { origin } = new URL(redirectUri);
  const body = html`
<h1>Sign in for development</h1>
<p>No password: pick who to be. The app <code>${clientId}</code> at <code>${origin}</code> gets tokens in that name.</p>
${USERS.map((user) => userForm(user, action))}
<h2>Or as you like</h2>
<form method="post" action="${action}">
<label>Name <input name="subject" required maxlength="255" autocomplete="off" autocapitalize="none" value="${loginHint}"></label>
<label>Roles <input name="roles" maxlength="255" autocomplete="off" list="roles" placeholder="none: a member"></label>
<datalist id="roles"><option value="Gateway.Admin"><option value="Gateway.Auditor"></datalist>
<label>Access tokens last <select name="expires_in">${LIVES.map(([seconds, label]) => html`<option value="${seconds}">${label}</option>`)}</select></label>
<button class="main">Sign in</button>
</form>
<form method="post" action="${action}"><button class="plain" name="cancel" value="yes">Cancel</button></form>`;
  return page(200, body, formTargets(redirectUri));
}

function userForm({ subject, roles, label }: PickedUser, action: string): Html {
  return html`<form method="post" action="${action}"><input type="hidden" name="roles" value="${roles}">
<button name="subject" value="${subject}">${subject} <small>${label}</small></button></form>`;
}

/** Browsers hold a form to this policy through its redirect, too. An IPv6 address cannot be named in it. */
function formTargets(redirectUri: string): string {
  const { origin, hostname, protocol } = new URL(redirectUri);
  return `'self' ${hostname.startsWith("[") ? protocol : origin}`;
}

/** For what may not be sent back to the app. */
export function errorPage(message: string): Answer {
  return page(400, html`<h1>This sign-in cannot go on</h1><p>${message}</p>`, "'none'");
}

function page(status: number, body: Html, formAction: string): Answer {
  const nonce = crypto.randomUUID();
  const { text } = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in for development</title>
<link rel="icon" href="data:,">
<style nonce="${nonce}">${STYLE}</style>
</head>
<body><main>${body}</main></body>
</html>
`;
  return {
    status,
    headers: {
      "content-type": "text/html; charset=utf-8",
      // With none at all the browser would send the form with the origin `null`.
      "referrer-policy": "same-origin",
      "content-security-policy": `default-src 'none'; style-src 'nonce-${nonce}'; img-src data:; form-action ${formAction}; base-uri 'none'; frame-ancestors 'none'`,
    },
    body: text,
  };
}
