import { describe, expect, it } from "vitest";
import { Secret } from "../../src/config/secret.js";
import { createLogger } from "../../src/observe/logger.js";
import { prettyLines } from "../../src/observe/pretty-log.js";

/** What a terminal gets. */
function shown(fields: object, message: string, secrets: readonly Secret[] = []): string {
  let text = "";
  const destination = prettyLines({ write: (line) => (text += line) }, false);
  createLogger({ level: "info", secrets, destination }).info(fields, message);
  return text;
}

describe("a log line for people", () => {
  it("has the time of day, the level, what happened and the fields in one line", () => {
    expect(shown({ status: 200, code: "OK" }, "request")).toMatch(
      /^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: request \{"status":200,"code":"OK"\}\n$/,
    );
  });

  it("has secrets hidden as any other", () => {
    const text = shown({ field: "before a-configured-secret after" }, "x", [new Secret("a-configured-secret")]);
    expect(text).toContain("before [hidden] after");
  });

  it("is shown as it is when what is hidden in it has left it no JSON", () => {
    const text = shown({ isHidden: true }, "x", [new Secret('Hidden":')]);
    expect(text).toMatch(/"is\[hidden\]true.*\n$/);
  });

  it("has nothing in it that a terminal takes for a command, wherever a client's words stand", () => {
    const words = "\u001b]0;title\u0007\u001b[2J\u009b31mred\r\u007f";
    const text = shown({ err: new Error(words), clientName: words, list: [{ deep: words }] }, words);
    expect(text).toContain("title");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  });
});
