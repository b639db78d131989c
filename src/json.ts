/**
 * JSON that can be read in one way only. Two parsers can take two values from an object that has a member twice (RFC 8259
 * §4), so what passes here has none, at any depth, and is UTF-8 without a byte order mark.
 */

import { isAscii } from "node:buffer";
import { randomUUID } from "node:crypto";

/** Throws a `SyntaxError` that never quotes the text. */
export function parseStrictJson(bytes: Uint8Array): unknown {
  const text = decodeUtf8(bytes);
  if (text.startsWith("\ufeff")) throw new SyntaxError("it begins with a byte order mark");
  const value = parse(text);
  const { count, escaped } = namesIn(text);
  const read = escaped.length === 0 ? value : parseByAliases(text, escaped);
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
 * V8 may take a name that is written with an escape for another, which an object had in its place that was read before
 * (nodejs/node#63785). So it is given other names to read, and the objects get theirs afterwards.
 */
function parseByAliases(text: string, escaped: readonly Span[]): unknown {
  // None that a client could write.
  const prefix = randomUUID();
  const names = new Map<string, string>();
  let aliased = "";
  let done = 0;
  for (const [from, to] of escaped) {
    const alias = `${prefix}${names.size}`;
    names.set(alias, JSON.parse(`"${text.slice(from, to)}"`) as string);
    aliased += text.slice(done, from) + alias;
    done = to;
  }
  const value = parse(aliased + text.slice(done));
  for (const object of objectsIn(value)) {
    for (const [alias, inner] of Object.entries(object)) {
      const name = names.get(alias);
      if (name === undefined) continue;
      delete object[alias];
      Object.defineProperty(object, name, { value: inner, enumerable: true, configurable: true, writable: true });
    }
  }
  return value;
}

/** How many members are left, of each name one. */
function membersIn(value: unknown): number {
  let members = 0;
  for (const object of objectsIn(value)) members += Object.keys(object).length;
  return members;
}

/** By a list of what is yet to be looked at: a body may nest deeper than calls can. */
function* objectsIn(value: unknown): Generator<Record<string, unknown>> {
  const left = [value];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (typeof next !== "object" || next === null) continue;
    if (!Array.isArray(next)) yield next as Record<string, unknown>;
    for (const inner of Object.values(next)) if (typeof inner === "object") left.push(inner);
  }
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
