/**
 * Two small parts of Apollo Server's pipeline, each used once a request, in a form that is quicker and answers the same. They are
 * put in its place when the program is bundled; tests run on Apollo's own, and test/graphql/apollo-parts.test.ts compares the two.
 */
import type { Plugin } from "rolldown";

const PARTS: Readonly<Record<string, string>> = {
  // Apollo's own looks for a `require` that a bundle does not have, and then takes SHA-256 in JavaScript.
  "@apollo/utils.createhash": `
import { hash } from "node:crypto";
export const createHash = (kind) => {
  let text = "";
  return {
    update(more) {
      text += more;
      return this;
    },
    digest: (encoding) => hash(kind, text, encoding),
  };
};
`,
  // Apollo asks each time which of the same few media types fits the same few texts.
  negotiator: `
import Negotiator from "negotiator/index.js";
const MOST = 100;
const LONGEST = 256;
const known = new Map();
export default class Remembering {
  constructor(request) {
    this.request = request;
  }
  mediaType(available) {
    const accept = this.request.headers.accept;
    const key = JSON.stringify([accept, available]);
    if (known.has(key)) return known.get(key);
    const type = new Negotiator(this.request).mediaType(available);
    if (known.size < MOST && key.length <= LONGEST) known.set(key, type);
    return type;
  }
}
`,
};

const PREFIX = "\0apollo-part:";

export const apolloParts: Plugin = {
  name: "apollo-parts",
  resolveId: (id) => (Object.hasOwn(PARTS, id) ? PREFIX + id : null),
  load: (id) => (id.startsWith(PREFIX) ? (PARTS[id.slice(PREFIX.length)] ?? null) : null),
};
