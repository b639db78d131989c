/** One thing that is wrong with a configuration, in plain words and without the value, which may be a secret. */
export interface Fault {
  /** Such as `issuers[0].audience`; empty for the file as a whole. */
  readonly path: string;
  /** From 1, where known. */
  readonly line?: number | undefined;
  /** Continues the sentence that the path begins. */
  readonly message: string;
}

/** Told of each fault as it is found. */
export type Report = (path: readonly PropertyKey[], message: string) => void;

/** The start is refused; the message has a sentence per fault. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";

  constructor(
    readonly file: string,
    readonly faults: readonly Fault[],
  ) {
    const inOrder = [...faults].sort((one, other) => (one.line ?? Infinity) - (other.line ?? Infinity));
    super(inOrder.map((fault) => describe(file, fault)).join("\n"));
  }
}

function describe(file: string, { path, line, message }: Fault): string {
  const place = line === undefined ? file : `${file}:${line}`;
  return path === "" ? `${place}: the file ${message}.` : `${place}: ${path} ${message}.`;
}
