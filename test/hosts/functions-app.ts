import { type ChildProcess, fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { DocumentTypeDecoration } from "@graphql-typed-document-node/core";

const WORKER = fileURLToPath(new URL("functions-worker.ts", import.meta.url));
/** Of the app in Azure, as its front end passes requests on. */
const HOST = "contoso.azurewebsites.net";
/** As `func start` has it. */
const LOCAL_HOST = "localhost:7071";
const CLIENT = "203.0.113.7:50123";

interface Binding {
  readonly type: string;
  readonly direction: string;
  readonly route?: string;
  readonly methods?: readonly string[];
  readonly authLevel?: string;
  readonly schedule?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

export interface Ask {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly body?: string | Buffer;
  /** What the front end says of who has connected to it. */
  readonly client?: string;
}

/** What is sent to the worker, and comes back. */
interface Outcome {
  readonly http?: { readonly status: number; readonly headers: Record<string, string>; readonly body: string };
  readonly error?: string;
  readonly loaded?: readonly string[];
}

/** A packed app in a process of its own, as the platform runs it: routes requests, keeps to keys of functions, ends it. */
export class FunctionsApp {
  output = "";
  functions: { readonly name: string; readonly bindings: Readonly<Record<string, Binding>> }[] = [];
  readonly #waiting = new Map<string, (outcome: Outcome) => void>();
  readonly #ended: Promise<unknown[]>;

  private constructor(private readonly worker: ChildProcess) {
    for (const stream of [worker.stdout, worker.stderr]) {
      stream?.on("data", (chunk) => {
        this.output += chunk;
      });
    }
    this.#ended = once(worker, "close");
    worker.on("message", (message: Outcome & { id: string }) => this.#waiting.get(message.id)?.(message));
  }

  /** In Azure, unless the environment says otherwise. */
  static async start(folder: string, env: Readonly<Record<string, string>>): Promise<FunctionsApp> {
    const isInAzure = env.AZURE_FUNCTIONS_ENVIRONMENT !== "Development";
    const place = isInAzure
      ? { WEBSITE_SITE_NAME: "contoso", WEBSITE_HOSTNAME: HOST }
      : { WEBSITE_HOSTNAME: LOCAL_HOST };
    const whole = { PATH: process.env.PATH ?? "", ...place, ...env };
    const worker = fork(WORKER, { cwd: folder, env: whole, silent: true, serialization: "advanced" });
    const app = new FunctionsApp(worker);
    const [message] = (await Promise.race([once(worker, "message"), app.#ended])) as [Pick<FunctionsApp, "functions">];
    if (message?.functions === undefined) throw new Error(`the app did not load: ${app.output}`);
    app.functions = message.functions;
    return app;
  }

  /** The trigger of a function. */
  trigger(name: string): Binding {
    const { bindings = {} } = this.functions.find((candidate) => candidate.name === name) ?? {};
    return Object.values(bindings).find(({ direction }) => direction === "in") ?? { type: "none", direction: "in" };
  }

  /** A request of a client, to whichever function its path and method lead to; `key`: the client has the key that it takes. */
  async request(
    { method = "GET", path = "/", headers = [], body, client = CLIENT }: Ask,
    key = false,
  ): Promise<Answer> {
    const name = this.#route(path, method);
    if (name === undefined) return { status: 404, headers: {}, text: "" };
    if (this.trigger(name).authLevel !== "anonymous" && !key) return { status: 401, headers: {}, text: "" };
    const all = [["host", HOST] as const, ...headers, ["x-forwarded-for", client] as const];
    const { http, error } = await this.#invoke(name, {
      http: {
        method,
        url: `https://${HOST}${path}`,
        nullableHeaders: joined(all),
        body: body === undefined ? undefined : { bytes: Buffer.from(body) },
      },
    });
    if (http === undefined) throw new Error(error);
    return { ...http, text: Buffer.from(http.body, "base64").toString() };
  }

  async graphql<Data, Variables>(
    token: string,
    document: DocumentTypeDecoration<Data, Variables>,
    variables: Variables,
  ): Promise<Data> {
    const body = JSON.stringify({ query: document.toString(), variables });
    const { text } = await this.request({ method: "POST", path: "/graphql", headers: asJson(token), body });
    const { data, errors } = JSON.parse(text) as { data?: Data; errors?: unknown };
    if (errors !== undefined || !data) throw new Error(`not answered: ${text}`);
    return data;
  }

  /** What the timer's invocation has failed with, if it has. */
  async tick(): Promise<string | undefined> {
    const { error } = await this.#invoke("work", { json: JSON.stringify({ IsPastDue: false }) });
    return error;
  }

  /** Files of the app that it has loaded so far. */
  async loaded(): Promise<readonly string[]> {
    const outcome = new Promise<Outcome>((resolve) => this.#waiting.set("loaded", resolve));
    this.worker.send("loaded");
    return (await outcome).loaded ?? [];
  }

  /** As when the instance is taken away; the exit code. */
  async terminate(): Promise<number | null> {
    this.worker.send("terminate");
    await this.#ended;
    return this.worker.exitCode;
  }

  kill(): void {
    this.worker.kill("SIGKILL");
  }

  async #invoke(name: string, data: unknown): Promise<Outcome> {
    const id = randomUUID();
    const outcome = new Promise<Outcome>((resolve) => this.#waiting.set(id, resolve));
    this.worker.send({ id, name, data }, undefined, {});
    const ended = this.#ended.then((): Outcome => ({ error: `the worker ended: ${this.output}` }));
    return await Promise.race([outcome, ended]);
  }

  /**
   * The first whose route fits, by the alphabet of their names, as the platform's host has it. That is not ASP.NET's order
   * (https://github.com/Azure/azure-functions-host/issues/9876).
   */
  #route(path: string, method: string): string | undefined {
    const { pathname } = new URL(path, "http://host");
    const names = this.functions.map(({ name }) => name).sort();
    return names.find((name) => {
      const { route = "none", methods = [] } = this.trigger(name);
      return patternOf(route).test(pathname) && methods.includes(method);
    });
  }
}

export function asJson(token?: string): [string, string][] {
  const authorization: [string, string][] = token === undefined ? [] : [["authorization", `Bearer ${token}`]];
  return [["content-type", "application/json"], ...authorization];
}

function patternOf(route: string): RegExp {
  return new RegExp(`^/${route.replace(/\{\*\w+\}/, ".*").replace(/\{\w+\}/g, "[^/]+")}$`);
}

/** The platform hands over one text for each name, whatever came; with a comma between those of one name. */
function joined(headers: readonly (readonly [string, string])[]): Record<string, { value: string }> {
  const names = [...new Set(headers.map(([name]) => name.toLowerCase()))];
  const valuesOf = (name: string) =>
    headers.filter((header) => header[0].toLowerCase() === name).map(([, text]) => text);
  return Object.fromEntries(names.map((name) => [name, { value: valuesOf(name).join(",") }]));
}
