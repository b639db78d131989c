/** Which media type an answer is in (RFC 9110 §12.5.1), settled before anything is done. */

/** In the order of preference where the client has none. */
const OFFERED = ["application/json", "application/graphql-response+json", "text/event-stream"] as const;

type MediaType = (typeof OFFERED)[number];
/** Of what is answered once and for all. */
type WholeType = Exclude<MediaType, "text/event-stream">;

interface Range {
  readonly type: string;
  readonly quality: number;
}

/** What the few texts that clients send have come to. */
const chosen = new Map<string, MediaType | undefined>();
const MOST_REMEMBERED = 100;
const LONGEST_REMEMBERED = 256;

/** Undefined when no answer of ours would be acceptable. */
export function chooseMediaType(accept = ""): MediaType | undefined {
  if (chosen.has(accept)) return chosen.get(accept);
  const type = choose(accept);
  if (accept.length > LONGEST_REMEMBERED) return type;
  // A flood of made-up ones costs the others one more look.
  if (chosen.size >= MOST_REMEMBERED) chosen.clear();
  chosen.set(accept, type);
  return type;
}

/** For an answer that is no stream, such as a refusal of one. */
export function wholeType(accept?: string): WholeType {
  const type = chooseMediaType(accept);
  return type === undefined || type === "text/event-stream" ? "application/json" : type;
}

function choose(accept: string): MediaType | undefined {
  const ranges = (accept.trim() || "*/*").split(",").map(readRange);
  const candidates = OFFERED.map((type) => {
    const place = mostSpecific(ranges, type);
    return { type, place, quality: ranges[place]?.quality ?? 0 };
  });
  const [best] = candidates
    .filter(({ quality }) => quality > 0)
    .sort((one, other) => other.quality - one.quality || one.place - other.place);
  return best?.type;
}

function readRange(text: string): Range {
  const [type = "", ...parameters] = text.split(";").map((part) => part.trim().toLowerCase());
  const parameter = (name: string) => parameters.find((text) => text.startsWith(`${name}=`))?.slice(name.length + 1);
  const charset = parameter("charset")?.replaceAll('"', "") ?? "utf-8";
  const quality = Number(parameter("q") ?? 1);
  return { type, quality: charset === "utf-8" && quality <= 1 ? quality : 0 };
}

/** The place of the range that speaks for a type; the exact one comes before `application/*` and that before the rest. */
function mostSpecific(ranges: readonly Range[], type: MediaType): number {
  for (const range of [type, `${type.split("/", 1)}/*`, "*/*"]) {
    const place = ranges.findIndex((candidate) => candidate.type === range);
    if (place >= 0) return place;
  }
  return -1;
}
