import { execFileSync } from "node:child_process";
import * as http from "node:http";
import { build, type Plugin } from "rolldown";
import { describe, expect, it } from "vitest";
import program from "../../rolldown.config.js";
import { nodeHttp } from "../../scripts/node-http.js";
import { Operator } from "../fixtures/operator.js";

const ENTRY = `
import http, { createServer, METHODS, request, STATUS_CODES } from "node:http";
import { get } from "http";
const has = [createServer, request, get].every((made) => typeof made === "function") && METHODS.includes("POST");
const isUndiciLoaded = process.moduleLoadList.some((name) => name.includes("undici/undici"));
console.log(JSON.stringify({ has, isWhole: http.STATUS_CODES === STATUS_CODES && "globalAgent" in http, isUndiciLoaded }));
`;

/** What the entry prints, bundled with these plugins. */
async function run(plugins: readonly Plugin[]): Promise<unknown> {
  const entry = "\0entry";
  const given: Plugin = {
    name: "entry",
    resolveId: (id) => (id === entry ? id : null),
    load: (id) => (id === entry ? ENTRY : null),
  };
  const { output } = await build({ input: entry, platform: "node", write: false, plugins: [...plugins, given] });
  const args = ["--input-type=module", "--eval", output[0].code];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" }));
}

/** Prints at the end whether it is loaded. */
const REPORTER = `data:text/javascript,${encodeURIComponent(`
process.on("exit", () => console.error("undici: " + process.moduleLoadList.some((name) => name.includes("undici/undici"))));
`)}`;

describe("the built program", () => {
  it("loads no undici for a token, nor to see whether service and issuer answer", async () => {
    const operator = await Operator.start("sqlite");
    const gateway = operator.start(["serve"], { NODE_OPTIONS: `--import=${REPORTER}` });
    const [, url, adminUrl] = await gateway.printed(/"url":"([^"]+)".*"adminUrl":"([^"]+)"/);
    const authorization = `Bearer ${await operator.issuer.sign("alice")}`;
    const response = await fetch(`${url}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization },
      body: JSON.stringify({
        query: "mutation { issueAccessToken(input: { scopes: [CHAT] }) { accessToken { token } } }",
      }),
    });
    expect(await response.json()).toMatchObject({ data: { issueAccessToken: { accessToken: {} } } });
    expect((await fetch(`${adminUrl}/health/ready`)).status).toBe(200);
    gateway.kill("SIGTERM");
    await gateway.ended();
    await operator.close();
    expect(gateway.stderr).toContain("undici: false");
  }, 30_000);
});

describe("node:http in the bundle", () => {
  it("is all there, and loads no undici", async () => {
    expect(await run([nodeHttp])).toEqual({ has: true, isWhole: true, isUndiciLoaded: false });
    expect(program.plugins).toContain(nodeHttp);
  });

  it("is worth its while: an import loads it", async () => {
    expect(await run([])).toEqual({ has: true, isWhole: true, isUndiciLoaded: true });
  });

  it("is what Node has, but for what is made when it is read", async () => {
    const { output } = await build({
      input: "node:http",
      platform: "node",
      write: false,
      plugins: [nodeHttp],
    });
    const left = Object.keys(http).filter((name) => !output[0].exports.includes(name));
    expect(left.sort()).toEqual(["CloseEvent", "MessageEvent", "WebSocket", "globalAgent", "maxHeaderSize"].sort());
  });
});
