/** HTML whose parts are escaped unless they are HTML themselves. */
export class Html {
  constructor(readonly text: string) {}
}

export function html(texts: TemplateStringsArray, ...parts: readonly (string | Html | readonly Html[])[]): Html {
  const rendered = parts.map((part) => {
    if (typeof part === "string") return escaped(part);
    return part instanceof Html ? part.text : part.map(({ text }) => text).join("");
  });
  return new Html(String.raw({ raw: texts }, ...rendered));
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? "");
}
