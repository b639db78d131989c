import type { IncomingMessage } from "node:http";
import { GatewayError } from "../errors.js";
import { errorBody } from "../graphql/errors.js";
import type { Answer } from "./answer.js";
import { chooseMediaType } from "./media-type.js";

/** GraphQL over HTTP: POST and JSON only, so that no form or link of another site can send one. Undefined when all is well. */
export function refuseForm(request: IncomingMessage): Answer | undefined {
  if (request.method !== "POST") return refusal(405, "GraphQL is served by POST only.", { allow: "POST" });
  const { "content-type": contentType = "", "content-encoding": encoding = "identity", accept } = request.headers;
  if (chooseMediaType(accept) === undefined) {
    return refusal(406, "Accept application/graphql-response+json, application/json or text/event-stream.", {});
  }
  const unreadable = whyUnreadable(contentType, encoding);
  return unreadable === undefined ? undefined : refusal(415, unreadable, { "accept-post": "application/json" });
}

function whyUnreadable(contentType: string, encoding: string): string | undefined {
  if (encoding !== "identity") return "Send the body as it is, not compressed: without content-encoding.";
  if (JSON_IN_UTF_8.test(contentType)) return undefined;
  if (JSON_IN_ANOTHER.test(contentType))
    return "Send the body in UTF-8, with content-type: application/json and no more.";
  return "Send the request with content-type: application/json.";
}

function refusal(status: number, message: string, headers: Record<string, string>): Answer {
  return { status, headers, body: errorBody(new GatewayError("BAD_REQUEST", message)) };
}

const JSON_IN_UTF_8 = /^application\/json\s*(;\s*(charset="?utf-?8"?\s*)?)?$/i;
const JSON_IN_ANOTHER = /^application\/json\s*;/i;

/** Of this end of the connection, which no header can change. */
export function connectedUrl({ socket: { localAddress = "", localPort } }: IncomingMessage): string {
  const address = localAddress.replace(/^::ffff:(?=\d+\.)/, "");
  return `http://${address.includes(":") ? `[${address}]` : address}:${localPort}`;
}
