/**
 * Small parts of Apollo Server's pipeline, each used once a request, in a form that is quicker and answers the same, as far as we ask.
 * They are put in their place when the program is bundled; tests run on Apollo's own, and test/graphql/apollo-parts.test.ts compares
 * the two.
 */
import type { Plugin } from "rolldown";

const PARTS: Readonly<Record<string, string>> = {
  // Apollo's own looks for a `require` that a bundle does not have, and then takes SHA-256 in JavaScript. It is asked for the hash of
  // the same few documents.
  "@apollo/utils.createhash": `
import { hash } from "node:crypto";
const MOST = 1000;
const LONGEST = 8192;
const known = new Map();
const hashOf = (kind, text, encoding) => {
  const found = known.get(text);
  if (found !== undefined && found.kind === kind && found.encoding === encoding) return found.digest;
  const digest = hash(kind, text, encoding);
  if (text.length > LONGEST) return digest;
  if (known.size >= MOST) known.clear();
  known.set(text, { kind, encoding, digest });
  return digest;
};
export const createHash = (kind) => {
  let text = "";
  return {
    update(more) {
      text = text === "" ? more : text + more;
      return this;
    },
    digest: (encoding) => hashOf(kind, text, encoding),
  };
};
`,
  // Apollo asks which media type fits, of a request that is not told of any wish.
  negotiator: `
import Negotiator from "negotiator/index.js";
export default class Undemanding {
  constructor(request) {
    this.request = request;
  }
  mediaType(available) {
    return this.request.headers.accept === undefined ? available[0] : new Negotiator(this.request).mediaType(available);
  }
}
`,
  // What an executor is given, as far as ours asks for it. Apollo's own has an object literal with accessors, of which something that
  // is old from the start keeps the whole request, until the old generation is swept.
  "./utils/makeGatewayGraphQLRequestContext.js": `
export const makeGatewayGraphQLRequestContext = ({ request, contextValue, document, operation }) => ({
  request,
  document,
  operation,
  context: contextValue,
});
`,
};

/**
 * Apollo waits for all of its plugins at each step of a request, of which most have nothing to say. What has nothing to be waited for is
 * not waited for by way of as many promises.
 */
const PIPELINE = /@apollo\/server\/dist\/esm\/requestPipeline\.js$/;
const WAITS = "await Promise.all(";
const WAITS_IF_NEED_BE = "await allOf(";
const ALL_OF = `
const allOf = (values) =>
  values.some((value) => typeof value?.then === "function") ? Promise.all(values) : values;
`;

const PREFIX = "\0apollo-part:";

export const apolloParts: Plugin = {
  name: "apollo-parts",
  // Others may have a module of the same name.
  resolveId: (id, importer) =>
    Object.hasOwn(PARTS, id) && importer?.includes("/@apollo/server/") ? PREFIX + id : null,
  transform: {
    filter: { id: PIPELINE },
    handler(code) {
      if (!code.includes(WAITS)) this.error("Apollo Server no longer waits for its plugins as it did");
      return { code: code.replaceAll(WAITS, WAITS_IF_NEED_BE) + ALL_OF, map: null };
    },
  },
  load: (id) => (id.startsWith(PREFIX) ? (PARTS[id.slice(PREFIX.length)] ?? null) : null),
  generateBundle(_, bundle) {
    const modules = Object.values(bundle).flatMap((file) => (file.type === "chunk" ? file.moduleIds : []));
    const missing = Object.keys(PARTS).filter((id) => !modules.includes(PREFIX + id));
    if (!modules.some((id) => PIPELINE.test(id))) this.error("Apollo Server has its pipeline elsewhere");
    if (missing.length > 0) this.error(`Apollo Server no longer asks for ${missing.join(", ")}`);
  },
};
