/**
 * JSON that can be read in one way only. Two parsers can take two values from an object that has a member twice (RFC 8259
 * §4), so what passes here has none, at any depth, and is UTF-8 without a byte order mark.
 */

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

/** Strings whole, and the marks that open, close and divide. All else in sound JSON is numbers, words and white space. */
const LEXEMES = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g;

/** For text that is sound JSON. By a list of what is open: a body may nest deeper than calls can. */
function hasDuplicateMember(text: string): boolean {
  /** Of each object that is open, its member names; null for an array. */
  const open: (Set<string> | null)[] = [];
  let last = "";
  for (const [lexeme] of text.matchAll(LEXEMES)) {
    if (lexeme === "{") open.push(new Set());
    else if (lexeme === "[") open.push(null);
    else if (lexeme === "}" || lexeme === "]") open.pop();
    else if (lexeme === ":") {
      const names = open.at(-1);
      const name = last.includes("\\") ? (JSON.parse(last) as string) : last.slice(1, -1);
      if (names?.has(name)) return true;
      names?.add(name);
    }
    last = lexeme;
  }
  return false;
}
