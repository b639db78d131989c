/** `node:http` alone: no GraphQL at all, the same body and the same answer. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { authenticate, type IssueInput, issueAccessToken, Unauthenticated } from "./work.js";

createServer((request, response) => {
  answer(request).then(
    (value) => send(response, 200, value),
    (error: unknown) => send(response, error instanceof Unauthenticated ? 401 : 500, { error: String(error) }),
  );
}).listen(Number(process.env.PORT), "127.0.0.1");

async function answer(request: IncomingMessage): Promise<object> {
  const subject = await authenticate(request.headers.authorization);
  const { variables } = JSON.parse(await read(request)) as { variables: IssueInput };
  return { data: { issueAccessToken: await issueAccessToken(subject, variables) } };
}

function read(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    request.setEncoding("utf8");
    request.on("data", (chunk: string) => {
      text += chunk;
    });
    request.on("end", () => resolve(text));
    request.on("error", reject);
  });
}

function send(response: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(status, {
    "content-type": "application/json; charset=utf-8",
    "content-length": Buffer.byteLength(body),
  });
  response.end(body);
}
