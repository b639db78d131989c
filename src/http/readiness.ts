/** Whether the gateway can do its job now, and if not, what is missing. */
import { inTimeOrAborted } from "../in-time.js";
import { type Answer, json } from "./answer.js";

export interface Dependency {
  readonly name: string;
  /** Resolves when the dependency is there; the error's message says what is wrong. */
  readonly check: (deadline: AbortSignal) => Promise<void>;
  /** Reported when it is away, but the gateway does its job without it. */
  readonly optional?: boolean;
}

interface Report {
  readonly name: string;
  readonly ok: boolean;
  readonly optional?: true;
  readonly problem?: string;
}

interface ReadinessParts {
  readonly dependencies: readonly Dependency[];
  /** ms by a clock that is never set. */
  readonly elapsed: () => number;
  /** Whether the gateway has as much to do as it can, so that others had better get what comes next. */
  readonly isOverloaded: () => boolean;
}

const CHECK_TIMEOUT_MS = 2000;
/** Anyone may ask, so the dependencies are asked at most this often. */
const REMEMBERED_MS = 1000;

export class Readiness {
  readonly #dependencies: readonly Dependency[];
  readonly #elapsed: () => number;
  readonly #isOverloaded: () => boolean;
  #last: { readonly at: number; readonly reports: Promise<readonly Report[]> } | undefined;
  #draining = false;

  constructor({ dependencies, elapsed, isOverloaded }: ReadinessParts) {
    this.#dependencies = dependencies;
    this.#elapsed = elapsed;
    this.#isOverloaded = isOverloaded;
  }

  /** From here on the answer is 503, so that a load balancer sends nothing new. */
  drain(): void {
    this.#draining = true;
  }

  /** What is wrong is for the admin port: it tells of what lies behind. */
  async answer({ withProblems }: { readonly withProblems: boolean }): Promise<Answer> {
    const reports = await this.#reports();
    const dependencies = withProblems ? reports : reports.map(({ problem: _, ...report }) => report);
    const status = this.#statusFor(dependencies);
    return json(status === "ready" ? 200 : 503, { status, dependencies });
  }

  #statusFor(reports: readonly Report[]): "ready" | "draining" | "unavailable" | "overloaded" {
    if (this.#draining) return "draining";
    if (!reports.every(({ ok, optional }) => ok || optional)) return "unavailable";
    return this.#isOverloaded() ? "overloaded" : "ready";
  }

  #reports(): Promise<readonly Report[]> {
    if (this.#last === undefined || this.#elapsed() - this.#last.at >= REMEMBERED_MS) {
      this.#last = { at: this.#elapsed(), reports: Promise.all(this.#dependencies.map(report)) };
    }
    return this.#last.reports;
  }
}

/** The message, and the code of what lies behind it, such as ECONNREFUSED. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  const code = codeOf(error.cause);
  return code === undefined ? error.message : `${error.message} (${code})`;
}

/** The first that is the system's or a database's. */
function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  return typeof code === "string" ? code : codeOf(cause);
}

async function report({ name, check, optional }: Dependency): Promise<Report> {
  const about = { name, ...(optional && { optional }) };
  try {
    await inTimeOrAborted(check, CHECK_TIMEOUT_MS, `no answer within ${CHECK_TIMEOUT_MS} ms`);
    return { ...about, ok: true };
  } catch (error) {
    return { ...about, ok: false, problem: describe(error) };
  }
}
