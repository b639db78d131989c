/** Cursors of the trail as it grows: how far each chain has been told (see audit/feed.ts). */
import type { FeedPosition } from "../audit/feed.js";
import { badArgument } from "./bad-argument.js";
import { decodeCursor, encodeCursor } from "./cursor.js";

/** What cursors of the feed begin with, so that no other list's is taken for one. */
const LIST = "AUDIT_FEED";
/** Chains that one cursor may name: each is looked at for whoever brings it. A cursor of ours has those of about a minute. */
const MOST_CHAINS = 1000;
/** As the trail makes them: 16 bytes, base64url. */
const WRITER = /^[\w-]{22}$/;

type Chain = readonly [writer: string, sequence: number, at: number];

export function writeFeedCursor({ since, seen }: FeedPosition): string {
  const chains = [...seen].map(([writer, { sequence, at }]): Chain => [writer, sequence, at]);
  return encodeCursor([LIST, since, ...chains]);
}

/** Throws BAD_USER_INPUT that names the argument `after`. */
export function readFeedCursor(cursor: string): FeedPosition {
  const [list, since, ...chains] = decodeCursor(cursor);
  const isSound = list === LIST && isWhole(since) && chains.length <= MOST_CHAINS && chains.every(isChain);
  if (!isSound) throw badArgument("after", "is not a cursor of an event of this subscription");
  return { since, seen: new Map((chains as Chain[]).map(([writer, sequence, at]) => [writer, { sequence, at }])) };
}

function isChain(chain: unknown): chain is Chain {
  if (!Array.isArray(chain) || chain.length !== 3) return false;
  const [writer, sequence, at] = chain as unknown[];
  return typeof writer === "string" && WRITER.test(writer) && isWhole(sequence) && isWhole(at);
}

function isWhole(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
