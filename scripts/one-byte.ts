import type { Plugin } from "rolldown";

/**
 * The bundle in characters of one byte. V8 keeps the source of a file as long as the process lives: with two bytes for each character,
 * if one of them, in whatever text, is not of Latin-1.
 */
export const oneByte: Plugin = {
  name: "one-byte",
  // At the very end: what is escaped before, Rolldown writes out again.
  generateBundle: (_, bundle) => {
    for (const file of Object.values(bundle))
      if (file.type === "chunk") file.code = file.code.replace(/[^\0-\xff]/g, escapeUnit);
  },
};

/** ECMA-262 §12.9.4: the same in a text, a template and a regular expression. */
function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
