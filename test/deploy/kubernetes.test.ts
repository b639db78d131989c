import { readdirSync, readFileSync } from "node:fs";
import type { IDeployment } from "kubernetes-models/apps/v1/Deployment";
import type { IHorizontalPodAutoscaler } from "kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler";
import type { INetworkPolicy } from "kubernetes-models/networking.k8s.io/v1/NetworkPolicy";
import type { IPodDisruptionBudget } from "kubernetes-models/policy/v1/PodDisruptionBudget";
import type { IService } from "kubernetes-models/v1/Service";
import { beforeAll, describe, expect, it } from "vitest";
import { loadConfig } from "../../src/config/load.js";
import { faultsIn } from "./kubernetes-schemas.js";
import {
  buildManifests,
  FOLDER,
  FOLDERS,
  find,
  type Manifest,
  manifestFiles,
  readEnv,
  readKustomization,
  readManifests,
  WHY_NO_KUBECTL,
} from "./manifests.js";

const SECRETS: Record<string, string> = {
  ...readEnv("production/secrets.example.env"),
  TOKEN_CACHE_KEY: Buffer.alloc(32, 1).toString("base64"),
  AUDIT_KEY: Buffer.alloc(32, 2).toString("base64"),
};
const SETTINGS: Record<string, string> = { ...readEnv("base/settings.env"), ...readEnv("production/settings.env") };
/** `DRAIN_MS` of src/main.ts. */
const DRAIN_SECONDS = 10;
/** What a schema change may take (src/store/dialect-postgres.ts), before anything listens. */
const MIGRATION_SECONDS = 600;

const manifests = readManifests();
const deployment = find<IDeployment>(manifests, "Deployment");
const pod = deployment.spec?.template;
const container = pod?.spec?.containers[0];
const autoscaler = find<IHorizontalPodAutoscaler>(manifests, "HorizontalPodAutoscaler").spec;
const policy = find<INetworkPolicy>(manifests, "NetworkPolicy").spec;

const broken = (change: object): Manifest[] => [
  { ...deployment, spec: { ...deployment.spec, ...change } } as unknown as Manifest,
];

describe("the manifests", () => {
  const built = WHY_NO_KUBECTL ? [] : ["production", "ingress"].flatMap(buildManifests);
  let faults: Awaited<ReturnType<typeof checkAll>>;
  const checkAll = () =>
    faultsIn({
      files: manifests,
      built,
      unknown: broken({ replicaz: 2 }),
      wrong: broken({ revisionHistoryLimit: "three" }),
      missing: broken({ selector: undefined }),
    });
  // The compiler takes its time on a busy machine.
  beforeAll(async () => {
    faults = await checkAll();
  }, 60_000);

  it("fit Kubernetes' schemas, with no key that it does not know", () => {
    expect(manifests.length).toBeGreaterThan(8);
    expect(faults.files).toEqual([]);
  });

  it.skipIf(WHY_NO_KUBECTL)(`fit them as kubectl puts them together, too${WHY_NO_KUBECTL}`, () => {
    expect(built.length).toBeGreaterThan(8);
    expect(faults.built).toEqual([]);
    const names = built.filter(({ kind }) => kind === "ConfigMap").map(({ metadata }) => metadata.name);
    const text = JSON.stringify(find<IDeployment>(built, "Deployment"));
    expect(names).toHaveLength(2);
    for (const name of names) expect(text).toContain(`"${name}"`);
  });

  it("would not with a key that does not exist, a wrong type or a missing part", () => {
    expect(faults.unknown.join()).toMatch(/replicaz.* does not exist/);
    expect(faults.wrong.join()).toMatch(/revisionHistoryLimit.*integer/);
    expect(faults.missing.join()).toMatch(/required/);
  });

  it("are all used, and what is used is there", () => {
    for (const folder of FOLDERS) {
      const { resources, configMapGenerator = [], patches = [] } = readKustomization(folder);
      const generated = configMapGenerator.flatMap(({ files = [], envs = [] }) => [...files, ...envs]);
      const named = [...resources, ...generated, ...patches.map(({ path }) => path)].filter(
        (name) => name !== "../base",
      );
      const there = readdirSync(`${FOLDER}/${folder}`).filter(
        (file) => !["kustomization.yaml", "secrets.example.env"].includes(file),
      );
      expect(named.sort()).toEqual(there.sort());
      expect(manifestFiles(folder)).not.toEqual([]);
    }
  });

  it("select each other", () => {
    const labels = pod?.metadata?.labels ?? {};
    const services = ["acs-token-gateway", "acs-token-gateway-metrics"].map((name) =>
      find<IService>(manifests, "Service", name),
    );
    const selectors = [
      deployment.spec?.selector.matchLabels,
      ...services.map(({ spec }) => spec?.selector),
      find<IPodDisruptionBudget>(manifests, "PodDisruptionBudget").spec?.selector?.matchLabels,
      policy?.podSelector?.matchLabels,
      ...(pod?.spec?.topologySpreadConstraints ?? []).map(({ labelSelector }) => labelSelector?.matchLabels),
    ];
    for (const selector of selectors) expect(labels).toMatchObject(selector ?? { none: "" });
    expect(autoscaler?.scaleTargetRef).toMatchObject({ kind: "Deployment", name: deployment.metadata?.name });
    const monitor = find<{ spec: { selector: { matchLabels: object } } }>(manifests, "ServiceMonitor");
    expect(services[1]?.metadata?.labels).toMatchObject(monitor.spec.selector.matchLabels);
    expect(services[0]?.metadata?.labels).not.toMatchObject(monitor.spec.selector.matchLabels);
  });
});

describe("the pods", () => {
  it("listen where the gateway does, and where the image says", () => {
    const { server } = loadConfig("deploy/kubernetes/base/gateway.yaml", { ...SETTINGS, ...SECRETS }, "production");
    const ports = Object.fromEntries(container?.ports?.map(({ name, containerPort }) => [name, containerPort]) ?? []);
    expect(ports).toEqual({ http: server.port, admin: server.admin.port });
    expect(readFileSync("Dockerfile", "utf8")).toContain(`EXPOSE ${ports.http} ${ports.admin}`);
  });

  it("fit the restricted profile of pod security, with nothing to write to", () => {
    expect(pod?.spec?.securityContext).toMatchObject({
      runAsNonRoot: true,
      seccompProfile: { type: "RuntimeDefault" },
    });
    expect(container?.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    expect(pod?.spec?.volumes?.map((volume) => Object.keys(volume).sort())).toEqual([["configMap", "name"]]);
    expect(pod?.spec?.automountServiceAccountToken).toBe(false);
  });

  it("leave as much memory beside the heap as in it", () => {
    const heap = Number(/--max-old-space-size=(\d+)/.exec(SETTINGS.NODE_OPTIONS ?? "")?.[1]);
    const { limits, requests } = container?.resources ?? {};
    expect(limits?.memory).toBe("1Gi");
    expect(requests?.memory).toBe(limits?.memory);
    expect(2 * heap).toBeLessThanOrEqual(1024);
  });

  it("are given the time to end what is under way, and to change the schema", () => {
    expect(readFileSync("src/main.ts", "utf8")).toContain(`DRAIN_MS = ${DRAIN_SECONDS}_000`);
    const pause = container?.lifecycle?.preStop?.sleep?.seconds ?? 0;
    expect(pod?.spec?.terminationGracePeriodSeconds).toBeGreaterThan(pause + DRAIN_SECONDS);
    const { periodSeconds = 0, failureThreshold = 0 } = container?.startupProbe ?? {};
    expect(periodSeconds * failureThreshold).toBeGreaterThan(MIGRATION_SECONDS);
    expect(deployment.spec?.progressDeadlineSeconds).toBeGreaterThan(periodSeconds * failureThreshold);
  });

  it("are never fewer than one through a roll-out or a drained node", () => {
    const budget = find<IPodDisruptionBudget>(manifests, "PodDisruptionBudget").spec?.maxUnavailable;
    expect(autoscaler?.minReplicas).toBeGreaterThan(Number(budget));
    expect(deployment.spec?.strategy?.rollingUpdate?.maxUnavailable).toBe(0);
    expect(deployment.spec).not.toHaveProperty("replicas");
  });

  it("share the budgets and Postgres' connections by as many as there may be", () => {
    const { store, limits } = loadConfig(
      "deploy/kubernetes/base/gateway.yaml",
      { ...SETTINGS, ...SECRETS },
      "production",
    );
    if (store.kind !== "postgres") throw new Error("not on Postgres");
    expect(limits.instances).toBe(autoscaler?.maxReplicas);
    // One more pod through a roll-out; of each instance one for the trail and one while it starts; Postgres' default is 100.
    expect((limits.instances + 1) * (store.maxConnections + 2)).toBeLessThan(97);
  });
});

describe("the network policy", () => {
  const open = (policy?.egress ?? []).flatMap(({ ports = [] }) => ports.map(({ port }) => Number(port)));

  it.each([
    ["Postgres", SECRETS.DATABASE_URL],
    ["Redis", SECRETS.REDIS_URL],
    ["Communication Services", SETTINGS.ACS_ENDPOINT],
    ["the issuer", SETTINGS.OIDC_ISSUER],
    ["names", "dns://kube-dns:53"],
  ])("lets the gateway reach %s", (_, address = "") => {
    const { port, protocol } = new URL(address);
    expect(open).toContain(Number(port || (protocol === "https:" && 443)));
  });

  it("lets nobody in but to the two ports, each from namespaces of its own", () => {
    const rules = (policy?.ingress ?? []).map(({ from, ports }) => ({ from, port: ports?.map(({ port }) => port) }));
    expect(rules).toEqual([
      { from: [{ namespaceSelector: { matchLabels: { "acs-token-gateway/ingress": "allowed" } } }], port: ["http"] },
      {
        from: [{ namespaceSelector: { matchLabels: { "acs-token-gateway/monitoring": "allowed" } } }],
        port: ["admin"],
      },
    ]);
    expect(policy?.policyTypes).toEqual(["Ingress", "Egress"]);
  });
});
