import { readFileSync } from "node:fs";
import { afterAll, beforeAll, beforeEach } from "vitest";
import type { Config } from "../../src/config/config.js";
import { type Client, type Instance, Rig } from "../fixtures/rig.js";

const MANIFEST = "schema/persisted-documents.json";

/** What a client sent. */
interface Sent {
  readonly method: string;
  readonly headers: Headers;
  readonly body: Readonly<Record<string, unknown>>;
}

interface Manifest {
  readonly format: "apollo-persisted-query-manifest";
  readonly version: 1;
  readonly operations: {
    readonly id: string;
    readonly name: string;
    readonly type: "query" | "mutation";
    readonly body: string;
  }[];
}

export const manifest = JSON.parse(readFileSync(MANIFEST, "utf8")) as Manifest;

/** Two gateways for one member and one administrator: one runs any document, one those of the published manifest only. */
export class Gateways {
  rig!: Rig;
  member!: Client;
  admin!: Client;
  #trusting!: Instance;
  readonly sent: Sent[] = [];

  static use(): Gateways {
    const gateways = new Gateways();
    beforeAll(async () => {
      gateways.rig = await Rig.start();
      gateways.#trusting = await gateways.rig.startAnother({ configure: trustManifest });
      gateways.member = await gateways.rig.member();
      gateways.admin = await gateways.rig.admin();
    });
    beforeEach(() => {
      gateways.sent.length = 0;
    });
    afterAll(async () => {
      await gateways.rig.close();
    });
    return gateways;
  }

  get openUrl(): string {
    return `${this.rig.gateway.url}/graphql`;
  }

  get trustingUrl(): string {
    return `${this.#trusting.url}/graphql`;
  }

  /** For a client to send by, so that what it sends is seen. */
  readonly fetch: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    const body = request.method === "POST" ? ((await request.clone().json()) as Sent["body"]) : {};
    this.sent.push({ method: request.method, headers: request.headers, body });
    return await fetch(request);
  };
}

function trustManifest(config: Config): Config {
  return { ...config, graphql: { ...config.graphql, trustedDocuments: { mode: "enforce", manifests: [MANIFEST] } } };
}
