import { STATUS_CODES } from "node:http";
import { type Answer, jsonAnswer, type Outcome } from "./answer.js";
import { badControlRequest, checkFields, integer, oneOf, text } from "./control-input.js";
import { errorAnswer } from "./errors.js";
import type { JsonObject } from "./http.js";
import { OPERATION_NAMES, type OperationName } from "./operations.js";

/**
 * What may go wrong with a call, and whether the operation has taken effect by then:
 * - `delay`: it takes effect after `delayMs`, even if the caller has gone by then, and is answered.
 * - `status`: refused with an error body, and a Retry-After if given; it takes no effect.
 * - `html503`: refused with a page, as a front door does when the service behind is down; it takes no effect.
 * - `hang`: never answered; it takes no effect.
 * - `commitThenDrop`: it takes effect, then the connection is cut in place of the answer.
 */
const FAULT_KINDS = ["delay", "status", "html503", "hang", "commitThenDrop"] as const;

/** `times` is how many calls it still hits. `delayMs` comes before whatever else the fault does. */
export interface Fault {
  readonly operation: OperationName | "*";
  readonly kind: (typeof FAULT_KINDS)[number];
  readonly times: number;
  readonly delayMs?: number | undefined;
  readonly status?: number | undefined;
  readonly code?: string | undefined;
  readonly message?: string | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

const FIELDS = ["operation", "kind", "times", "delayMs", "status", "code", "message", "retryAfterSeconds"];
const MAX_FAULTS = 1_000;
const MAX_DELAY_MS = 3_600_000;
const UNAVAILABLE_PAGE =
  "<!DOCTYPE html><html><head><title>Service unavailable</title></head>" +
  "<body><h1>This service is unavailable right now.</h1></body></html>";

/** The faults that wait for their calls, first come first served; a call meets one at most. */
export class Faults {
  #pending: Fault[] = [];

  get pending(): readonly Fault[] {
    return this.#pending;
  }

  add(fault: Fault): void {
    if (this.#pending.length >= MAX_FAULTS) {
      throw badControlRequest(`There are ${MAX_FAULTS} faults waiting. Clear them with DELETE /_emulator/faults.`);
    }
    this.#pending.push(fault);
  }

  clear(): void {
    this.#pending = [];
  }

  take(operation: OperationName): Fault | undefined {
    const index = this.#pending.findIndex((fault) => fault.operation === "*" || fault.operation === operation);
    const fault = this.#pending[index];
    if (fault === undefined) return undefined;
    const rest = fault.times > 1 ? [{ ...fault, times: fault.times - 1 }] : [];
    this.#pending.splice(index, 1, ...rest);
    return fault;
  }
}

/** Does the work as the fault, if any, lets it be done. */
export async function underFault(
  fault: Fault | undefined,
  wait: (ms: number) => Promise<void>,
  work: () => Promise<Answer>,
): Promise<Outcome> {
  if (fault?.delayMs !== undefined) await wait(fault.delayMs);
  switch (fault?.kind) {
    case "status":
      return statusAnswer(fault);
    case "html503":
      return { status: 503, headers: { "content-type": "text/html", ...retryAfter(fault) }, body: UNAVAILABLE_PAGE };
    case "hang":
      return "hang";
    case "commitThenDrop":
      await work().catch(errorAnswer);
      return "drop";
    default:
      return work();
  }
}

export function parseFault(body: JsonObject): Fault {
  checkFields(body, FIELDS);
  const fault: Fault = {
    operation: oneOf(body, "operation", [...OPERATION_NAMES, "*"]),
    kind: oneOf(body, "kind", FAULT_KINDS),
    times: integer(body, "times", [1, 1_000_000]) ?? 1,
    delayMs: integer(body, "delayMs", [0, MAX_DELAY_MS]),
    status: integer(body, "status", [400, 599]),
    code: text(body, "code"),
    message: text(body, "message"),
    retryAfterSeconds: integer(body, "retryAfterSeconds", [0, 86_400]),
  };
  if (fault.kind === "delay" && fault.delayMs === undefined) throw badControlRequest('"delay" needs "delayMs".');
  if (fault.kind === "status" && fault.status === undefined) throw badControlRequest('"status" needs "status".');
  return fault;
}

function statusAnswer(fault: Fault): Answer {
  const { status = 500 } = fault;
  const reason = STATUS_CODES[status] ?? `Status ${status}`;
  const error = { code: fault.code ?? reason.replace(/[^A-Za-z0-9]/g, ""), message: fault.message ?? `${reason}.` };
  return jsonAnswer(status, { error }, retryAfter(fault));
}

function retryAfter({ retryAfterSeconds }: Fault): Record<string, string> {
  return retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) };
}
