import { createHash, createHmac } from "node:crypto";
import { request } from "node:http";
import { CommunicationIdentityClient } from "@azure/communication-identity";
import type { JWK } from "jose";
import { afterAll, onTestFinished } from "vitest";
import { type Emulator, type EmulatorOptions, startEmulator } from "../../src/emulator/emulator.js";

/** An emulator that is closed when the test is over. */
export async function start(options: Partial<EmulatorOptions> = {}): Promise<Emulator> {
  const emulator = await startEmulator({ host: "127.0.0.1", port: 0, latency: "none", rateLimits: false, ...options });
  onTestFinished(() => emulator.close());
  return emulator;
}

/** One emulator for the tests of a file that leave nothing behind: a new one makes a new key, which takes time. */
export async function startForFile(): Promise<Emulator> {
  const emulator = await startEmulator({ host: "127.0.0.1", port: 0, latency: "none", rateLimits: false });
  afterAll(() => emulator.close());
  return emulator;
}

/** The real client, without retries: one call, one request. */
export function clientOf(connectionString: string): CommunicationIdentityClient {
  return new CommunicationIdentityClient(connectionString, {
    allowInsecureConnection: true,
    retryOptions: { maxRetries: 0 },
  });
}

export interface RawRequest {
  method?: string;
  path: string;
  body?: string | Buffer;
  headers?: Record<string, string>;
}

export interface RawAnswer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
  json: ServiceJson;
}

/** Any answer of the service: a test reads what it expects to be there. */
interface ServiceJson {
  identity: { id: string };
  accessToken: { token: string; expiresOn: string };
  token: string;
  expiresOn: string;
  error: { code: string; message: string; target?: string };
}

/** Any answer of a control endpoint, and its status. */
interface ControlJson {
  status: number;
  error: { code: string; message: string };
  calls: Record<string, number>;
  createIdentityWithToken: number;
  traceparents: string[];
  outcomes: Record<string, Record<string, number>>;
  faults: unknown[];
  total: number;
  live: number;
  identities: { id: string; createdAt: string; revokedAt: string | null; deleted: boolean }[];
  next: string | null;
  active: boolean;
  reason?: string;
  scopes: string[];
  exp: number;
  keys: JWK[];
  accessKey: string;
  connectionString: string;
}

interface Rejection {
  name: string;
  message: string;
  code?: string;
  statusCode?: number;
}

/** Sends the path as it is given, which fetch would not. */
export function send(
  emulator: Emulator,
  { method = "POST", path, body = "", headers = {} }: RawRequest,
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: "127.0.0.1", port: emulator.port, method, path, headers }, (incoming) => {
      let text = "";
      incoming.setEncoding("utf8");
      incoming.on("data", (chunk: string) => {
        text += chunk;
      });
      incoming.on("error", reject);
      incoming.on("end", () => {
        const isJson = incoming.headers["content-type"]?.startsWith("application/json");
        const json = (isJson ? JSON.parse(text) : undefined) as ServiceJson;
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: text, json });
      });
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

export interface Signing {
  key?: string;
  date?: string;
  host?: string;
  /** The name of the header that carries the date. */
  dateHeader?: "x-ms-date" | "date";
  /** What is signed in place of what is sent. */
  signed?: { method?: string; path?: string; body?: string };
}

/** Signs as the service documents it. */
export function sign(emulator: Emulator, raw: RawRequest, signing: Signing = {}): RawRequest {
  const { key = accessKeyOf(emulator.connectionString), dateHeader = "x-ms-date", signed = {} } = signing;
  const { date = new Date().toUTCString(), host = `127.0.0.1:${emulator.port}` } = signing;
  const { method = raw.method ?? "POST", path = raw.path, body = raw.body ?? "" } = signed;
  const hash = createHash("sha256").update(body).digest("base64");
  const signature = createHmac("sha256", Buffer.from(key, "base64"))
    .update(`${method}\n${path}\n${date};${host};${hash}`)
    .digest("base64");
  const headers = {
    host,
    [dateHeader]: date,
    "x-ms-content-sha256": hash,
    authorization: `HMAC-SHA256 SignedHeaders=${dateHeader};host;x-ms-content-sha256&Signature=${signature}`,
  };
  return { ...raw, headers: { ...headers, ...raw.headers } };
}

export function sendSigned(emulator: Emulator, raw: RawRequest, signing?: Signing): Promise<RawAnswer> {
  return send(emulator, sign(emulator, raw, signing));
}

export async function control(emulator: Emulator, method: string, path: string, body?: unknown): Promise<ControlJson> {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  const response = await fetch(`${emulator.endpoint}_emulator${path}`, init);
  const text = await response.text();
  return { status: response.status, ...(text === "" ? {} : JSON.parse(text)) };
}

export function introspect(emulator: Emulator, token: string): Promise<ControlJson> {
  return control(emulator, "POST", "/tokens/introspect", { token });
}

export function accessKeyOf(connectionString: string): string {
  return connectionString.replace(/^.*accesskey=/, "");
}

/** What a promise rejects with; a promise that does not is the failure. */
export async function rejection(promise: Promise<unknown>): Promise<Rejection> {
  return promise.then(
    (value) => {
      throw new Error(`Expected a rejection, got ${JSON.stringify(value)}.`);
    },
    (error: unknown) => error as Rejection,
  );
}
