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
  if (hasDuplicateMember(text)) throw new SyntaxError("an object has a member twice");
  return value;
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
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST] = codesOf("{}[]");

function codesOf(marks: string): number[] {
  return [...marks].map((mark) => mark.charCodeAt(0));
}

/** For text that is sound JSON. By a list of what is open: a body may nest deeper than calls can. */
function hasDuplicateMember(text: string): boolean {
  /** Of each object that is open, its member names; null for a list. */
  const open: (Set<string> | null)[] = [];
  /** Where the last string is, quotes left out. */
  let from = 0;
  let to = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      from = at + 1;
      to = endOfString(text, from);
      at = to;
    } else if (code === OPEN_OBJECT) open.push(new Set());
    else if (code === OPEN_LIST) open.push(null);
    else if (code === CLOSE_OBJECT || code === CLOSE_LIST) open.pop();
    else if (code === COLON) {
      const names = open.at(-1);
      const name = memberName(text.slice(from, to));
      if (names?.has(name)) return true;
      names?.add(name);
    }
  }
  return false;
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

function memberName(written: string): string {
  return written.includes("\\") ? (JSON.parse(`"${written}"`) as string) : written;
}
