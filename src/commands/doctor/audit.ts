import { constants } from "node:fs";
import { access, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { addressSink } from "../../audit/checkpoint-sinks.js";
import type { Config } from "../../config/config.js";
import { Examination, type Finding, fail, ok, type Result, skip, warn } from "./examination.js";
import { judgeSpace } from "./space.js";

const FILE_CURE = "correct its name, make its folder, or let the gateway write there";
const POST_MS = 3000;
/** No checkpoint, and none that `audit verify` takes for one. */
const TEST_LINE = JSON.stringify({ test: "acs-token-gateway doctor" });

type AuditConfig = Config["audit"];

/** Whether records and checkpoints can go where they are to go. Nothing is written, but with `writes` to an address. */
export async function examineAudit({ audit }: Config, writes: boolean): Promise<readonly Result[]> {
  const examination = new Examination();
  for (const { to, required } of audit.sinks) {
    await examination.check({ id: "audit.sink", about: to, cure: FILE_CURE }, () => judgeSink(to, required));
  }
  await examination.check({ id: "audit.checkpoints", cure: FILE_CURE }, () => judgeCheckpoints(audit, writes));
  return examination.results;
}

async function judgeSink(to: string, isRequired: boolean): Promise<Finding> {
  if (to === "stdout") return ok("standard output");
  try {
    return await judgeFile(to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENXIO") throw error;
    const message = "a named pipe that nobody reads";
    const cure = "start its reader first";
    return isRequired ? fail(`${message}, and records have to be taken there`, cure) : warn(message, cure);
  }
}

async function judgeCheckpoints({ checkpoints }: AuditConfig, writes: boolean): Promise<Finding> {
  if (checkpoints === null) return skip("none are configured: that the end of the trail was cut off cannot be told");
  if (checkpoints.kind === "stdout") return ok("standard output");
  if (checkpoints.kind === "file") return await judgeFile(checkpoints.file);
  if (!writes) return skip("an address, which is tried with --write only: what it is sent, it keeps");
  await addressSink(checkpoints.address.reveal(), POST_MS)(TEST_LINE);
  return ok("the address took a line that is no checkpoint");
}

/** Without making it, or waiting for a pipe's reader. */
async function judgeFile(file: string): Promise<Finding> {
  const found = await stat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    return undefined;
  });
  if (found === undefined) {
    await access(dirname(file), constants.W_OK | constants.X_OK);
    return await judgeRoom(file, "is not there yet, and can be made");
  }
  const handle = await open(file, constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK);
  await handle.close();
  return found.isFile() ? await judgeRoom(file, "can be written to") : ok("can be written to");
}

/** To open it takes no room, and the next line does. */
async function judgeRoom(file: string, message: string): Promise<Finding> {
  const room = await judgeSpace(file, "it", "make room: on a full disk no line is added to it");
  return room.status === "ok" ? ok(message) : { ...room, message: `${message}, and ${room.message}` };
}
