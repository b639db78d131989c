/** From the start of a process to the first token that it gives. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { type Answer, Connection, requestBytes } from "./connection.js";
import { issueRequest, whyNotWhole } from "./issuing.js";
import { onGatewayCore } from "./machine.js";
import { freePort } from "./server.js";

export interface Program {
  /** Of Node. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The caller's token; left out, the program prints one when it is ready. */
  readonly token?: string;
}

const LIMIT_MS = 60_000;
const CONNECT_EVERY_MS = 1;
const PRINTED_TOKEN = /\bey[\w-]+\.[\w-]+\.[\w-]+/;

/** ms. The process, which works in this folder and has its temporary files there, has ended by then. */
export async function timeToFirstToken({ args, env, token }: Program, folder: string): Promise<number> {
  const port = await freePort();
  const url = new URL(`http://127.0.0.1:${port}/graphql`);
  const [command, all] = onGatewayCore(args);
  const begin = performance.now();
  const child = spawn(command, all, {
    cwd: folder,
    env: { PATH: process.env.PATH, TMPDIR: folder, PORT: String(port), ADMIN_PORT: "0", ...env },
    stdio: ["ignore", token === undefined ? "pipe" : "ignore", "inherit"],
  });
  const limit = AbortSignal.timeout(LIMIT_MS);
  try {
    const answer = await askWhenOpen(url, token ?? (await printed(child, limit)), limit);
    const elapsed = performance.now() - begin;
    const fault = whyNotWhole(answer);
    if (fault !== undefined) throw new Error(`${fault}: ${answer.status} ${answer.body}`);
    return elapsed;
  } finally {
    await end(child);
  }
}

async function printed({ stdout }: ChildProcess, limit: AbortSignal): Promise<string> {
  let text = "";
  while (!PRINTED_TOKEN.test(text)) {
    if (stdout === null || stdout.readableEnded) throw new Error(`there is no token in: ${text}`);
    const [chunk] = (await once(stdout, "data", { signal: limit })) as [Buffer];
    text += chunk.toString();
  }
  return PRINTED_TOKEN.exec(text)?.[0] ?? "";
}

async function askWhenOpen(url: URL, token: string, limit: AbortSignal): Promise<Answer> {
  const { headers, body } = issueRequest(token);
  const request = requestBytes(url, headers, body);
  for (;;) {
    const answer = await ask(url, request);
    if (answer !== undefined) return answer;
    limit.throwIfAborted();
    await setTimeout(CONNECT_EVERY_MS);
  }
}

/** Undefined when nobody listens. */
function ask(url: URL, request: Buffer): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    const connection = new Connection(url, {
      onAnswer: (answer) => {
        connection.close();
        resolve(answer);
      },
      onEnd: () => resolve(undefined),
    });
    connection.send(request);
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
}
