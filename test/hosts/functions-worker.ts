/**
 * What the Node worker of Azure Functions does with an app: it has the module `@azure/functions-core`, which the app's library asks
 * for, loads what `main` in package.json names, runs hooks, and turns what the platform sends into the arguments of a handler and
 * its result back, by the library itself. Run as a process of its own; the test is the platform.
 */
import { readFileSync } from "node:fs";
import Module, { registerHooks } from "node:module";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";

interface Invocation {
  readonly id: string;
  readonly name: string;
  /** The trigger's data in the platform's form. */
  readonly data: unknown;
}

interface InvocationModel {
  getArguments(): Promise<{ context: unknown; inputs: unknown[] }>;
  invokeFunction(context: unknown, inputs: unknown[], callback: Callback): Promise<unknown>;
  getResponse(context: unknown, result: unknown): Promise<{ returnValue?: { http?: HttpData } }>;
}

interface HttpData {
  readonly statusCode: string;
  readonly headers: Record<string, string>;
  readonly body?: { readonly bytes?: Uint8Array; readonly string?: string };
}

interface Metadata {
  readonly name: string;
  readonly bindings: Readonly<Record<string, { readonly direction: string }>>;
}

type Callback = (...inputs: unknown[]) => unknown;

const functions = new Map<string, { readonly metadata: Metadata; readonly callback: Callback }>();
const saying: Promise<void>[] = [];
const hooks: { readonly name: string; readonly callback: Callback }[] = [];
let model: { getInvocationModel(context: unknown): InvocationModel } | undefined;

const core = {
  version: "3.12.0",
  hostVersion: "4.1040.0",
  Disposable: class {},
  registerHook: (name: string, callback: Callback) => hooks.push({ name, callback }),
  setProgrammingModel: (given: typeof model) => {
    model = given;
  },
  registerFunction: (metadata: Metadata, callback: Callback) => functions.set(metadata.name, { metadata, callback }),
  log: () => {},
};

const original = Module.prototype.require;
Module.prototype.require = Object.assign(function require(this: Module, id: string): unknown {
  return id === "@azure/functions-core" ? core : original.call(this, id);
}, original);

const folder = process.cwd();
/** Files of the app, as they are loaded. */
const loaded: string[] = [];
registerHooks({
  load: (url, context, next) => {
    if (url.startsWith(pathToFileURL(folder).href)) loaded.push(basename(url));
    return next(url, context);
  },
});
const { main } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { main: string };
await import(pathToFileURL(join(folder, main)).href);
await runHooks("appStart");
send({ functions: [...functions.values()].map(({ metadata }) => metadata) });

process.on("message", (message: Invocation | "terminate" | "loaded") => {
  if (message === "terminate") void terminate();
  else if (message === "loaded") send({ id: "loaded", loaded });
  else void invoke(message).then((answer) => send({ id: message.id, ...answer }));
});

async function terminate(): Promise<void> {
  await runHooks("appTerminate");
  // What was said is heard; an invocation that has no answer yet gets none any more.
  await Promise.all(saying);
  process.exit(0);
}

function send(message: unknown): void {
  saying.push(new Promise((resolve) => process.send?.(message, undefined, {}, () => resolve())));
}

async function runHooks(name: string): Promise<void> {
  for (const hook of hooks.filter((candidate) => candidate.name === name)) await hook.callback({});
}

async function invoke({ id, name, data }: Invocation): Promise<{ http?: unknown; error?: string }> {
  const { metadata, callback } = functions.get(name) ?? {};
  if (!metadata || !callback || !model) return { error: "not registered" };
  const [trigger = ""] = Object.entries(metadata.bindings).find(([, { direction }]) => direction === "in") ?? [];
  const request = { inputData: [{ name: trigger, data }], triggerMetadata: {} };
  const invocation = model.getInvocationModel({ invocationId: id, metadata, request, log: () => {} });
  try {
    const { context, inputs } = await invocation.getArguments();
    const result = await invocation.invokeFunction(context, inputs, callback);
    const { returnValue } = await invocation.getResponse(context, result);
    const { http } = returnValue ?? {};
    if (http === undefined) return {};
    const body = Buffer.from(http.body?.bytes ?? http.body?.string ?? "").toString("base64");
    return { http: { status: Number(http.statusCode), headers: http.headers, body } };
  } catch (error) {
    return { error: String(error) };
  }
}
