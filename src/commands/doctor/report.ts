/** What the doctor says: a line for each check, or one JSON document of a shape that stays. */
import type { Result, Status } from "./examination.js";

export interface Report {
  /** ms since 1970 */
  readonly startedAt: number;
  readonly results: readonly Result[];
}

const STATUSES = ["ok", "warn", "fail", "skip"] as const satisfies readonly Status[];

/** What is worst in it. */
export function resultOf({ results }: Report): "ok" | "warn" | "fail" {
  const has = (status: Status) => results.some((result) => result.status === status);
  return has("fail") ? "fail" : has("warn") ? "warn" : "ok";
}

export function writeText(report: Report): string[] {
  const width = Math.max(0, ...report.results.map(({ id }) => id.length));
  const lines = report.results.flatMap(({ id, about, status, message, cure, milliseconds }) => {
    const what = about === null ? message : `${about}: ${message}`;
    const time = status === "skip" ? "" : ` (${milliseconds} ms)`;
    const line = `${status.padEnd(4)}  ${id.padEnd(width)}  ${what}${time}`;
    return cure === undefined ? [line] : [line, `${" ".repeat(width + 8)}cure: ${cure}`];
  });
  return [...lines, "", `${report.results.length} checks: ${sumOf(report)}`];
}

function sumOf(report: Report): string {
  const { ok, warn: warnings, fail: failed, skip: skipped } = countsOf(report);
  return `${ok} ok, ${warnings} with a warning, ${failed} failed, ${skipped} skipped`;
}

/** `format` changes when a member is taken away or means something else; members may be added. */
export function writeJson(report: Report): string {
  const { startedAt, results } = report;
  const checks = results.map(({ id, about, status, message, cure = null, milliseconds }) => ({
    id,
    about,
    status,
    message,
    cure,
    milliseconds,
  }));
  const document = {
    format: 1,
    startedAt: new Date(startedAt).toISOString(),
    result: resultOf(report),
    counts: countsOf(report),
    checks,
  };
  return JSON.stringify(document, null, 2);
}

function countsOf({ results }: Report): Record<Status, number> {
  const count = (status: Status) => results.filter((result) => result.status === status).length;
  return Object.fromEntries(STATUSES.map((status) => [status, count(status)])) as Record<Status, number>;
}
