/** Files that begin work which no request has asked for. */
const UNASKED = new Set(["loop.ts", "audit/lister.ts", "identities/eraser.ts", "identities/service-worker.ts"]);
/** Beside the gateway in one process. */
const BESIDE = /^(emulator|test)\//;
const PROJECT_FILE = /\/(?:src\/(?<own>.+)|(?<test>test\/.+))$/;
const DEEPEST = 60;

/**
 * Which file of the gateway's has called, at last; "a library" when none is left on the stack. Undefined for a call of the
 * test or the emulator, and for what runs without a request, such as the worker that looks for promised work twice a second.
 */
export function callingFile(): string | undefined {
  const files = projectFiles();
  const [nearest = "a library"] = files;
  return BESIDE.test(nearest) || files.some((file) => UNASKED.has(file)) ? undefined : nearest;
}

/** On the stack, from the inside out, those that await too. Of src without that name, and none of the counting itself. */
function projectFiles(): string[] {
  return framesAbove(projectFiles).flatMap((frame) => {
    const name = frame.getFileName() ?? "";
    if (name.includes("/node_modules/") || name.endsWith("/operations.ts") || name === import.meta.filename) return [];
    const { own, test } = PROJECT_FILE.exec(name)?.groups ?? {};
    return own ?? test ?? [];
  });
}

function framesAbove(caller: () => unknown): readonly NodeJS.CallSite[] {
  const { prepareStackTrace, stackTraceLimit } = Error;
  const holder: { stack?: readonly NodeJS.CallSite[] } = {};
  Error.stackTraceLimit = DEEPEST;
  Error.prepareStackTrace = (_, frames) => frames;
  Error.captureStackTrace(holder, caller);
  // Made at the first look.
  const frames = holder.stack ?? [];
  Error.stackTraceLimit = stackTraceLimit;
  Error.prepareStackTrace = prepareStackTrace;
  return frames;
}
