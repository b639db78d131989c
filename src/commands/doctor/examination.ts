/**
 * An examination: checks of one dependency, one after the other, each with its time-out. A check that fails does not end it; one
 * that only makes sense after another says so by being skipped. Examinations run side by side.
 */
import { performance } from "node:perf_hooks";
import { GatewayError, StartError } from "../../errors.js";
import { inTimeOrAborted } from "../../in-time.js";

export type Status = "ok" | "warn" | "fail" | "skip";

/** What is looked at; docs/commands.md says what each means. */
export const CHECK_IDS = [
  "configuration",
  "keys",
  "server.publicUrl",
  "issuer.discovery",
  "issuer.keys",
  "issuer.clock",
  "store.space",
  "store.file",
  "store.connection",
  "store.encoding",
  "store.schema",
  "store.writable",
  "store.keys",
  "store.migrations",
  "store.clock",
  "redis.connection",
  "redis.version",
  "redis.memory",
  "redis.writable",
  "redis.clock",
  "service.reachable",
  "service.access",
  "service.create",
  "service.issue",
  "service.revoke",
  "service.delete",
  "audit.sink",
  "audit.checkpoints",
  "documents",
] as const;
type CheckId = (typeof CHECK_IDS)[number];

export interface Finding {
  readonly status: Status;
  /** What was found, in one line and without a secret. */
  readonly message: string;
  /** What to do about it, continuing no other sentence; for `warn` and `fail`. */
  readonly cure?: string;
}

/** The finding of one check. */
export interface Result extends Finding {
  readonly id: CheckId;
  /** Which of several it was; null where there is one. */
  readonly about: string | null;
  /** How long it took. */
  readonly milliseconds: number;
}

export interface Check {
  readonly id: CheckId;
  readonly about?: string;
  /** What to do when the work throws. */
  readonly cure: string;
  readonly timeoutMs?: number;
}

/** Long enough for whatever is well, and short enough for who waits. */
const TIMEOUT_MS = 5000;

export const ok = (message: string): Finding => ({ status: "ok", message });
export const skip = (message: string): Finding => ({ status: "skip", message });
export const warn = (message: string, cure: string): Finding => ({ status: "warn", message, cure });
export const fail = (message: string, cure: string): Finding => ({ status: "fail", message, cure });

export class Examination {
  readonly results: Result[] = [];

  /** Does the work, and keeps what it found. False when that is a failure; never rejects. */
  async check({ id, about, cure, timeoutMs = TIMEOUT_MS }: Check, work: Work): Promise<boolean> {
    const began = performance.now();
    const late = `no answer within ${timeoutMs / 1000} s`;
    const finding = await inTimeOrAborted(work, timeoutMs, late).catch((error: unknown) => failure(error, cure));
    const milliseconds = Math.round(performance.now() - began);
    this.results.push({ ...finding, id, about: about ?? null, milliseconds });
    return finding.status !== "fail";
  }

  /** Of one that there is no sense in. */
  skip(id: CheckId, about: string | undefined, why: string): void {
    this.results.push({ ...skip(why), id, about: about ?? null, milliseconds: 0 });
  }
}

/** The deadline is aborted when the check's time is up; whether the work heeds it or not, it is waited for no longer. */
type Work = (deadline: AbortSignal) => Promise<Finding>;

/** A `StartError` knows its own cure, which is the end of its sentence. */
function failure(error: unknown, cure: string): Finding {
  const [, message, own] = (error instanceof StartError && /^(.+): (.+)\.$/s.exec(error.message)) || [];
  return message !== undefined && own !== undefined ? fail(message, own) : fail(reasonOf(error), cure);
}

/** The message, and what lies behind it, in one line. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return reasonOf(error.errors[0]);
  if (!(error instanceof Error)) return "unknown error";
  const { code } = error as { code?: unknown };
  const isNew = typeof code === "string" && !(error instanceof GatewayError) && !error.message.includes(code);
  const own = `${error.message}${isNew ? ` (${code})` : ""}`.replaceAll(/\s*\n\s*/g, " ");
  return error.cause === undefined ? own : `${own.replace(/\.$/, "")}: ${reasonOf(error.cause)}`;
}
