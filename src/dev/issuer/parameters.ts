/** The parameters of a request (RFC 6749 §3.1, §3.2): each at most once, and an empty one counts as left out. */
import type { IncomingMessage } from "node:http";
import { readBytes } from "../../http/body.js";

/** For whoever sent it, in one sentence. */
export class BadParameters extends Error {}

/** More than any client has reason to send; what is kept of a request is bounded by it. */
const MAX_LENGTH = 4096;

export class Parameters {
  private constructor(
    private readonly all: URLSearchParams,
    /** To send them once more; holds nothing that means something to HTML but `&`. */
    readonly text: string,
  ) {}

  /** Throws `BadParameters`. */
  static parse(text: string): Parameters {
    if (text.length > MAX_LENGTH)
      throw new BadParameters(`All parameters together have at most ${MAX_LENGTH} characters.`);
    const all = new URLSearchParams(text);
    const names = [...all.keys()];
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    // In words that an answer to a client may have (RFC 6749 §5.2).
    if (twice !== undefined) throw new BadParameters(`A parameter is there twice: ${twice.replace(/\W/g, "?")}`);
    return new Parameters(all, all.toString());
  }

  get(name: string): string | undefined {
    return this.all.get(name) || undefined;
  }

  /** Throws `BadParameters` when it is not there. */
  require(name: string): string {
    const value = this.get(name);
    if (value === undefined) throw new BadParameters(`The parameter ${name} is missing.`);
    return value;
  }
}

/** Throws `BadParameters`. */
export function readQuery({ url = "/" }: IncomingMessage): Parameters {
  const start = url.indexOf("?");
  return Parameters.parse(start < 0 ? "" : url.slice(start + 1));
}

/** Of a form that was sent by POST. Throws `BadParameters`, or BAD_REQUEST for a body that cannot be read. */
export async function readForm(request: IncomingMessage): Promise<Parameters> {
  const type = request.headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/x-www-form-urlencoded") {
    throw new BadParameters("The body has to be a form: content-type application/x-www-form-urlencoded.");
  }
  return Parameters.parse((await readBytes(request)).toString());
}
