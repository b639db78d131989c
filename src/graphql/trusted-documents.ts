/**
 * Trusted documents: what the operator's apps send, known from manifests. A request may name one by its id in place of the
 * text, by `documentId` (GraphQL over HTTP, Appendix A) or as Apollo's clients do; and the operator may have any other
 * text logged or refused. Nothing is ever registered by a request.
 */
import { createHash } from "node:crypto";
import type { GraphQLSchema } from "graphql";
import { GatewayError, StartError } from "../errors.js";
import type { Events } from "../observe/events.js";
import type { RequestContext } from "./context.js";
import { type GraphqlSettings, whyRefused } from "./document.js";
import { bareId, isObject, type ManifestFile, readManifest, twoTexts } from "./manifest.js";
import { isGiven } from "./request.js";

interface TrustedDocumentsParts {
  readonly manifests: readonly ManifestFile[];
  readonly schema: GraphQLSchema;
  readonly settings: GraphqlSettings;
  readonly events: Events;
}

export class TrustedDocuments {
  readonly #byId: ReadonlyMap<string, string>;
  readonly #texts: ReadonlySet<string>;
  readonly #mode: GraphqlSettings["trustedDocuments"]["mode"];
  readonly #events: Events;

  /** Throws a `StartError` for a manifest that cannot be used, or has a document that would be refused. */
  constructor({ manifests, schema, settings, events }: TrustedDocumentsParts) {
    this.#byId = uniteManifests(manifests, schema, settings);
    this.#texts = new Set(this.#byId.values());
    this.#mode = settings.trustedDocuments.mode;
    this.#events = events;
  }

  /** The request's body with the document's text in place of its id. Throws BAD_REQUEST. */
  resolve(body: unknown, context: RequestContext): unknown {
    if (!isObject(body)) return body;
    const id = readId(body);
    const { documentId: _, extensions, ...rest } = body;
    const known = id === undefined ? undefined : this.#byId.get(id);
    if (known !== undefined && isGiven(body.query) && body.query !== known) throw refusal(TWO_DOCUMENTS);
    const request = {
      ...rest,
      query: known ?? body.query,
      ...(isGiven(extensions) && { extensions: withoutId(extensions) }),
    };
    const why = this.#whyRefused(id, body, request.query);
    if (why === undefined) return request;
    if (this.#mode !== "off") this.#noteRefused(id, request, context);
    throw refusal(why);
  }

  #whyRefused(id: string | undefined, { documentId }: Request, query: unknown): string | undefined {
    const enforced = this.#mode === "enforce";
    if (id !== undefined && !this.#byId.has(id) && (enforced || !isGiven(query))) {
      return enforced || isGiven(documentId) ? UNKNOWN_ID : NOT_SUPPORTED;
    }
    return enforced && !this.#isTrusted(query) ? NOT_TRUSTED : undefined;
  }

  /** Notes what is run without being in a manifest, in the mode `log`. */
  noteRun(text: string, operationName: string | null, { call: { requestId, client } }: RequestContext): void {
    if (this.#mode !== "log" || this.#isTrusted(text)) return;
    const sha256 = sha256Of(text);
    this.#events.untrustedDocument({ requestId, client, operationName, sha256, refused: false });
  }

  #isTrusted(text: unknown): boolean {
    return typeof text === "string" && this.#texts.has(text);
  }

  #noteRefused(id: string | undefined, { operationName, query }: Request, { call }: RequestContext): void {
    this.#events.untrustedDocument({
      requestId: call.requestId,
      client: call.client,
      operationName: typeof operationName === "string" ? operationName : null,
      ...(id !== undefined && { documentId: id }),
      ...(typeof query === "string" && { sha256: sha256Of(query) }),
      refused: true,
    });
  }
}

function sha256Of(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

type Request = Readonly<Record<string, unknown>>;

/** By these words Apollo's clients know to send the text in place of the hash, and to go on so. */
const NOT_SUPPORTED = "PersistedQueryNotSupported";
const UNKNOWN_ID = "No document has this id. Ids cannot be registered by a request: the gateway's operator lists them.";
const NOT_TRUSTED =
  "Only trusted documents are run here: send a listed one, by its id or with its exact text, or have the gateway's operator add the app's manifest.";
const TWO_DOCUMENTS = "The query is not the document that the id names; send one of them.";
const BAD_ID =
  "A document is named by a text: documentId, or extensions.persistedQuery with version 1 and sha256Hash, and both alike.";

function refusal(message: string): GatewayError {
  return new GatewayError("BAD_REQUEST", message);
}

/** The id in either form, bare; undefined when the request has none. */
function readId({ documentId, extensions }: Record<string, unknown>): string | undefined {
  if (!isGiven(documentId) && !isGiven(extensions)) return undefined;
  const persistedQuery = isObject(extensions) ? extensions.persistedQuery : undefined;
  const ids = [...textIn(documentId), ...(isGiven(persistedQuery) ? hashIn(persistedQuery) : [])];
  if (new Set(ids).size > 1) throw refusal(BAD_ID);
  return ids[0];
}

function hashIn(persistedQuery: unknown): string[] {
  if (!isObject(persistedQuery) || persistedQuery.version !== 1 || !isGiven(persistedQuery.sha256Hash))
    throw refusal(BAD_ID);
  return textIn(persistedQuery.sha256Hash);
}

function textIn(id: unknown): string[] {
  if (!isGiven(id)) return [];
  if (typeof id !== "string") throw refusal(BAD_ID);
  return [bareId(id)];
}

/** Apollo is not to see it: it would take it for its own protocol, which is off. */
function withoutId(extensions: unknown): unknown {
  if (!isObject(extensions)) return extensions;
  const { persistedQuery: _, ...rest } = extensions;
  return rest;
}

/** All their documents by id. Throws a `StartError` for a manifest that cannot be used, or has a document that would be refused. */
export function uniteManifests(
  files: readonly ManifestFile[],
  schema: GraphQLSchema,
  settings: GraphqlSettings,
): ReadonlyMap<string, string> {
  const united = new Map<string, string>();
  const cameFrom = new Map<string, string>();
  for (const manifest of files) {
    const { file } = manifest;
    for (const [id, text] of readManifest(manifest)) {
      if ((united.get(id) ?? text) !== text) throw twoTexts(id, [cameFrom.get(id) ?? file, file]);
      const why = united.has(id) ? undefined : whyRefused(text, schema, settings);
      if (why !== undefined) throw refusedAtStart({ file, id, why });
      united.set(id, text);
      cameFrom.set(id, file);
    }
  }
  return united;
}

function refusedAtStart({ file, id, why }: { file: string; id: string; why: string }): StartError {
  const cure = "mend the app's document and make the manifest anew, or raise the limit in the section graphql";
  return new StartError(`The document ${id} of the manifest ${file} would be refused (${why}): ${cure}.`);
}
