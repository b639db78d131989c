import type { Logger } from "./logger.js";
import type { Tracing } from "./tracing.js";

/** What events need of a log. */
export type EventLog = Pick<Record<Level, Write>, Level>;

type Level = "debug" | "info" | "warn" | "error";
type Write = (this: void, fields: object, message: string) => void;

/** A log whose lines say of which request and trace they are. */
export function tracedLog(log: Logger, tracing: Tracing): EventLog {
  const at =
    (level: Level): Write =>
    (fields, message) => {
      if (log.isLevelEnabled(level)) log[level]({ ...tracing.place()?.ids, ...fields }, message);
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
