import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cli } from "../fixtures/cli.js";
import { FREE_PORTS } from "../fixtures/dev.js";
import { DpopClient } from "../fixtures/dpop.js";

const hasCurl = spawnSync("curl", ["--version"]).status === 0;

/** This machine's in a network; undefined where it is in none. */
const ADDRESS = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ internal, family }) => !internal && family === "IPv4")?.address;

interface Issued {
  readonly data: {
    readonly issueAccessToken: {
      readonly accessToken: { readonly token: string; readonly identity: { readonly communicationUserId: string } };
    };
  };
}

/** The tokens, and the line to paste. */
const SHOWN = [/^eyJ\S+$/, /^curl -s \S+ .*'authorization: Bearer eyJ[^']+' -d '.*'$/];

let folder: string;
let elsewhere: string;
/** Where what does not start leaves its data. */
let nowhere: string;
let dev: Cli;

async function startDev(): Promise<Cli> {
  const started = Cli.start(["dev"], {
    cwd: folder,
    // As on a machine in a company, whose proxy knows nothing of what is here.
    env: { ...FREE_PORTS, HTTPS_PROXY: "http://127.0.0.1:9", HTTP_PROXY: "http://127.0.0.1:9" },
    shows: SHOWN,
  });
  await started.printed(/^curl .*$/m);
  return started;
}

async function url(): Promise<string> {
  return (await dev.printed(/GraphQL API\s+(\S+)\/graphql/))[1] ?? "";
}

/** What the printed curl line sends, sent. */
async function paste(): Promise<Issued> {
  const [line] = await dev.printed(/^curl .*$/m);
  const [, address, token, body] = /^curl -s (\S+) .*Bearer ([^']+)' -d '(.*)'$/.exec(line) ?? expect.fail(line);
  const response = await fetch(address ?? "", {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: body ?? "",
  });
  return (await response.json()) as Issued;
}

function statusOf(hostname: string, port: string, host: string, path = "/"): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request({ hostname, port, path, headers: { host } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on("error", reject)
      .end();
  });
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateway-dev-"));
  elsewhere = mkdtempSync(join(tmpdir(), "gateway-dev-"));
  nowhere = mkdtempSync(join(tmpdir(), "gateway-dev-"));
  dev = await startDev();
});
afterAll(async () => {
  dev.kill("SIGTERM");
  await dev.ended();
  for (const made of [folder, elsewhere, nowhere]) rmSync(made, { recursive: true });
});

describe("dev", () => {
  it("prints what runs where and a member's and an admin's token", async () => {
    for (const name of ["GraphQL API", "Explorer", "OpenID issuer", "Service"])
      expect(dev.stdout).toMatch(new RegExp(`${name}\\s+http://127.0.0.1:\\d+`));
    const tokens = [...dev.stdout.matchAll(/^(eyJ\S+)$/gm)].map(([, token]) => token);
    expect(tokens).toHaveLength(2);
    const permissions = [];
    for (const token of tokens) {
      const response = await fetch(`${await url()}/graphql`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
        body: '{"query":"{ viewer { permissions } }"}',
      });
      permissions.push(
        ((await response.json()) as { data: { viewer: { permissions: string[] } } }).data.viewer.permissions.length,
      );
    }
    expect(permissions).toEqual([1, 5]);
  });

  it.runIf(hasCurl)("prints a curl line that returns a communication token when pasted into a shell", async () => {
    const [line] = await dev.printed(/^curl .*$/m);
    const reply = JSON.parse(execFileSync("sh", ["-c", line], { encoding: "utf8" })) as Issued;
    expect(reply.data.issueAccessToken.accessToken.token).toMatch(/^eyJ/);
  });

  it("keeps each caller's identity when it is killed and started again, and takes the tokens it printed before", async () => {
    const before = await paste();
    const oldLine = (await dev.printed(/Bearer ([^']+)/))[1];
    const issuer = (await dev.printed(/OpenID issuer (\S+)/))[1];
    dev.kill("SIGKILL");
    await dev.ended();
    dev = await startDev();
    expect((await dev.printed(/OpenID issuer (\S+)/))[1]).toBe(issuer);
    const after = await paste();
    expect(after.data.issueAccessToken.accessToken.identity).toEqual(before.data.issueAccessToken.accessToken.identity);
    const old = await fetch(`${await url()}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${oldLine}` },
      body: '{"query":"{ viewer { identity { communicationUserId } } }"}',
    });
    expect(await old.json()).toEqual({
      data: { viewer: { identity: before.data.issueAccessToken.accessToken.identity } },
    });
  });

  it("gives a token for anybody, and says how when asked for nobody", async () => {
    const issuer = (await dev.printed(/OpenID issuer (\S+)/))[1];
    const { access_token } = (await (await fetch(`${issuer}/token?subject=bob&roles=Gateway.Auditor`)).json()) as {
      access_token: string;
    };
    const response = await fetch(`${await url()}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${access_token}` },
      body: '{"query":"{ viewer { user { subject } permissions } }"}',
    });
    expect(await response.json()).toMatchObject({
      data: { viewer: { user: { subject: "bob" }, permissions: ["TOKEN_ISSUE", "IDENTITY_READ", "AUDIT_READ"] } },
    });
    expect(await (await fetch(`${issuer}/token`)).text()).toContain("/token?subject=alice");
  });

  it("has tokens that are bound to a client's key, which take a proof of it", async () => {
    const [, issuer] = await dev.printed(/OpenID issuer\s+(\S+)/);
    const client = new DpopClient();
    const { cnf } = await client.confirmation();
    const answer = await fetch(`${issuer}/token?subject=bob&jkt=${cnf.jkt}`);
    const { access_token: token, token_type } = (await answer.json()) as { access_token: string; token_type: string };
    expect(token_type).toBe("DPoP");
    const uri = `${await url()}/graphql`;
    const send = async (authorization: string) => {
      const headers = { "content-type": "application/json", authorization, dpop: client.proof(token, uri) };
      return (await fetch(uri, { method: "POST", headers, body: '{"query":"{ viewer { __typename } }"}' })).status;
    };
    expect([await send(`Bearer ${token}`), await send(`DPoP ${token}`)]).toEqual([401, 200]);
  });

  it("says in one line that a port is none", async () => {
    for (const name of ["ISSUER_PORT", "EMULATOR_PORT"]) {
      const { code, stderr } = await Cli.run(["dev"], { cwd: nowhere, env: { ...FREE_PORTS, [name]: "65536" } });
      expect([code, stderr]).toEqual([2, `${name} is a port, 0 to 65535; 0 takes any free one.\n`]);
    }
  });

  it("takes a free port where another has the one it would take", async () => {
    const port = new URL((await dev.printed(/OpenID issuer\s+(\S+)/))[1] ?? "").port;
    const second = Cli.start(["dev"], {
      cwd: elsewhere,
      env: { ...FREE_PORTS, ISSUER_PORT: port, EMULATOR_PORT: port },
      shows: SHOWN,
    });
    await second.printed(/^curl .*$/m);
    for (const name of ["OpenID issuer", "Service"]) expect(second.stdout).toMatch(new RegExp(`${name}\\s+http://127`));
    expect(second.stdout).not.toContain(`:${port}`);
    second.kill("SIGTERM");
    expect(await second.ended()).toBe(0);
  });

  it("refuses to move its issuer, whose port is part of every user's identity, and says how to go on", async () => {
    const had = new URL((await dev.printed(/OpenID issuer\s+(\S+)/))[1] ?? "").port;
    const second = await Cli.run(["dev"], { cwd: folder, env: { ...FREE_PORTS, ISSUER_PORT: "4999" } });
    expect(second).toEqual({
      code: 2,
      stdout: "",
      stderr: `ISSUER_PORT is 4999, but the embedded issuer had port ${had} before, which is part of every user's identity: leave ISSUER_PORT out, or delete the data folder to start afresh.\n`,
    });
  });

  it("says in one line that another dev has the data folder's port", async () => {
    const second = await Cli.run(["dev"], { cwd: folder, env: FREE_PORTS });
    expect(second).toMatchObject({ code: 2, stdout: "" });
    expect(second.stderr).toMatch(/^Port \d+, which the embedded issuer had before, is in use: .*\n$/);
  });
});

describe("the explorer", () => {
  it("is a page with the caller token filled in that loads nothing from elsewhere", async () => {
    const response = await fetch(await url());
    const page = await response.text();
    expect(response.headers.get("content-type")).toMatch("text/html");
    expect(response.headers.get("content-security-policy")).toMatch(/^default-src 'self'/);
    expect(page).toMatch(/Bearer eyJ/);
    const loaded = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address]) => address ?? "");
    expect(loaded.filter((address) => !address.startsWith("/explorer/") && address !== "data:,")).toEqual([]);
    for (const address of loaded.filter((found) => found.startsWith("/"))) {
      const asset = await fetch((await url()) + address);
      expect([address, asset.status]).toEqual([address, 200]);
      expect(Number(asset.headers.get("content-length"))).toBeGreaterThan(5000);
    }
  });

  it("gives no token to a page whose name was made to point here", async () => {
    const { hostname, port } = new URL(await url());
    expect(await statusOf(hostname, port, `attacker.example.com:${port}`)).toBe(403);
  });

  it.skipIf(ADDRESS === undefined)("gives no token to the network, whatever host it asks for", async () => {
    const open = Cli.start(["dev"], { cwd: elsewhere, env: { ...FREE_PORTS, HOST: "0.0.0.0" }, shows: SHOWN });
    const [, port = ""] = await open.printed(/Explorer\s+http:\/\/127\.0\.0\.1:(\d+)\/$/m);
    await open.printed(/^curl .*$/m);
    for (const path of ["/", "/examples/phone", "/examples/phone/settings.json"]) {
      expect([path, await statusOf("127.0.0.1", port, "localhost", path)]).toEqual([path, 200]);
      expect([path, await statusOf(ADDRESS ?? "", port, "localhost", path)]).toEqual([path, 403]);
    }
    open.kill("SIGTERM");
    expect(await open.ended()).toBe(0);
  });
});

describe("the phone example", () => {
  const load = async (path: string) => await fetch((await url()) + path);

  it("is a page that loads nothing from elsewhere and asks nobody but the gateway and the issuer", async () => {
    const response = await load("/examples/phone");
    const [, issuer] = await dev.printed(/OpenID issuer\s+(\S+)/);
    const policy = response.headers.get("content-security-policy");
    expect(policy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self'; /);
    expect(policy).toContain(`connect-src 'self' ${issuer}; `);
    const loaded = [...(await response.text()).matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path ?? "");
    expect(loaded).toHaveLength(3);
    for (const path of loaded.filter((found) => found !== "data:,")) expect((await load(path)).status, path).toBe(200);
    expect(await (await load("/examples/phone/settings.json")).json()).toMatchObject({ gateway: "/graphql", issuer });
  });

  it("has the built client package beside it", async () => {
    const client = await load("/examples/phone/client/client.js");
    expect(client.headers.get("content-type")).toBe("text/javascript; charset=utf-8");
    expect(await client.text()).toContain("createTokenRefresher");
  });
});
