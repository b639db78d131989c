export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** How a call ends: an answer, silence on an open connection, or a connection cut without an answer. */
export type Outcome = Answer | "hang" | "drop";

export const NO_CONTENT: Answer = { status: 204, headers: {}, body: "" };

export function jsonAnswer(status: number, value: unknown, headers: Record<string, string> = {}): Answer {
  const contentType = status < 400 ? "application/json; charset=utf-8" : "application/json";
  return { status, headers: { "content-type": contentType, ...headers }, body: JSON.stringify(value) };
}
