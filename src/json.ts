/**
 * JSON that can be read in one way only. Two parsers can take two values from an object that has a member twice (RFC 8259
 * §4), so what passes here has none, at any depth, and is UTF-8 without a byte order mark.
 */

import { isAscii } from "node:buffer";

/** Throws a `SyntaxError` that never quotes the text. */
export function parseStrictJson(bytes: Uint8Array): unknown {
  const text = decodeUtf8(bytes);
  if (text.startsWith("\ufeff")) throw new SyntaxError("it begins with a byte order mark");
  const value = parse(text);
  const { count, escaped } = namesIn(text);
  const read = escaped.length === 0 ? value : parse(withPlainNames(text, escaped));
  if (membersIn(read) < count) throw new SyntaxError("an object has a member twice");
  return read;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeUtf8(bytes: Uint8Array): string {
  // Most of it is ASCII, for which there is a shorter way.
  if (isAscii(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  try {
    return utf8.decode(bytes);
  } catch {
    throw new SyntaxError("not UTF-8");
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new SyntaxError("not JSON");
  }
}

const [QUOTE, BACKSLASH, COLON] = codesOf('"\\:');

function codesOf(marks: string): number[] {
  return [...marks].map((mark) => mark.charCodeAt(0));
}

/** Of a text, without the quotes. */
type Span = readonly [from: number, to: number];

/** How many members the objects of a sound JSON text have, and which of their names are written with an escape. */
function namesIn(text: string): { readonly count: number; readonly escaped: readonly Span[] } {
  const escaped: Span[] = [];
  let count = 0;
  let last: Span = [0, 0];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      last = [at + 1, endOfString(text, at + 1)];
      at = last[1];
    } else if (code === COLON) {
      count += 1;
      if (hasEscape(text, last)) escaped.push(last);
    }
  }
  return { count, escaped };
}

function hasEscape(text: string, [from, to]: Span): boolean {
  for (let at = from; at < to; at++) if (text.charCodeAt(at) === BACKSLASH) return true;
  return false;
}

/**
 * The same without the escapes, as V8 may take a name that has one for another, which an object had in its place that was read
 * before (nodejs/node#63785). So what cannot be written without is refused.
 */
function withPlainNames(text: string, escaped: readonly Span[]): string {
  let plain = "";
  let done = 0;
  for (const [from, to] of escaped) {
    const name = JSON.stringify(JSON.parse(`"${text.slice(from, to)}"`));
    if (name.includes("\\")) throw new SyntaxError("a member has a name that cannot be written without an escape");
    plain += text.slice(done, from - 1) + name;
    done = to + 1;
  }
  return plain + text.slice(done);
}

/** How many members are left, of each name one. By a list of what is yet to be counted: a body may nest deeper than calls can. */
function membersIn(value: unknown): number {
  let members = 0;
  const left = [value];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (typeof next !== "object" || next === null) continue;
    const values: unknown[] = Array.isArray(next) ? next : Object.values(next);
    if (values !== next) members += values.length;
    for (const inner of values) if (typeof inner === "object") left.push(inner);
  }
  return members;
}

/** Of its closing quote: the next one that is not behind an odd number of backslashes. */
function endOfString(text: string, from: number): number {
  let at = text.indexOf('"', from);
  while (isEscaped(text, at, from)) at = text.indexOf('"', at + 1);
  return at;
}

function isEscaped(text: string, at: number, from: number): boolean {
  let first = at;
  while (first > from && text.charCodeAt(first - 1) === BACKSLASH) first -= 1;
  return (at - first) % 2 === 1;
}
