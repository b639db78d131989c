import { freeBytes } from "../../store/inspection.js";
import { type Finding, fail, ok, warn } from "./examination.js";

const MB = 1024 * 1024;
/** A day of many records, and hardly anything. */
const LITTLE_BYTES = 1024 * MB;
const TOO_LITTLE_BYTES = 100 * MB;

/** How much room there is on the disk of a file, which need not be there yet. */
export async function judgeSpace(file: string, what: string, cure: string): Promise<Finding> {
  const free = await freeBytes(file);
  const message = `${Math.floor(free / MB)} MB are free for ${what}`;
  if (free < TOO_LITTLE_BYTES) return fail(message, cure);
  return free < LITTLE_BYTES ? warn(message, cure) : ok(message);
}
