/** What one manifest calls by name in another: the schemas take any name, and the cluster tells it too late. */
import { readFileSync } from "node:fs";
import type { IGateway } from "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/Gateway";
import type { IHTTPRoute } from "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute";
import type { IServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";
import type { IDeployment } from "kubernetes-models/apps/v1/Deployment";
import type { INetworkPolicy } from "kubernetes-models/networking.k8s.io/v1/NetworkPolicy";
import type { INamespace } from "kubernetes-models/v1/Namespace";
import type { IService } from "kubernetes-models/v1/Service";
import type { IServiceAccount } from "kubernetes-models/v1/ServiceAccount";
import { describe, expect, it } from "vitest";
import { loadConfig } from "../../src/config/load.js";
import { FOLDER, find, readEnv, readKustomization, readManifests } from "./manifests.js";
import { unreadVariables } from "./variables.js";

const manifests = readManifests();
const deployment = find<IDeployment>(manifests, "Deployment");
const pod = deployment.spec?.template;
const container = pod?.spec?.containers[0];
const secrets = readEnv("production/secrets.example.env");
const settings = { ...readEnv("base/settings.env"), ...readEnv("production/settings.env") };
const config = `${FOLDER}/base/gateway.yaml`;
const { namespace, images = [] } = readKustomization("production");

const ports = (name: string) => find<IService>(manifests, "Service", name).spec?.ports ?? [];

describe("the ports", () => {
  it("are asked for health on the admin port, by the paths that answer there", () => {
    const probes = [container?.startupProbe, container?.livenessProbe, container?.readinessProbe];
    expect(probes.map((probe) => [probe?.httpGet?.path, probe?.httpGet?.port])).toEqual([
      ["/health/live", "admin"],
      ["/health/live", "admin"],
      ["/health/ready", "admin"],
    ]);
  });

  it("are reached by clients and by whoever scrapes, each the one that is theirs", () => {
    expect(container?.ports?.map(({ name }) => name)).toEqual(["http", "admin"]);
    expect(ports("acs-token-gateway").map(({ targetPort }) => targetPort)).toEqual(["http"]);
    expect(ports("acs-token-gateway-metrics").map(({ targetPort }) => targetPort)).toEqual(["admin"]);
    const scraped = find<IServiceMonitor>(manifests, "ServiceMonitor").spec.endpoints.map(({ port }) => port);
    expect(scraped).toEqual(ports("acs-token-gateway-metrics").map(({ name }) => name));
  });
});

describe("the pods", () => {
  it("get the settings, the secret and the file, where the gateway looks for it", () => {
    const { configMapGenerator = [] } = readKustomization("base");
    const [file, variables] = configMapGenerator;
    const [made = ""] = /(?<=create secret generic )\S+/.exec(readFileSync("docs/guides/kubernetes.md", "utf8")) ?? [];
    expect(container?.envFrom).toEqual([{ configMapRef: { name: variables?.name } }, { secretRef: { name: made } }]);
    const [volume] = pod?.spec?.volumes ?? [];
    const [mount] = container?.volumeMounts ?? [];
    expect(volume?.configMap?.name).toBe(file?.name);
    expect(mount?.name).toBe(volume?.name);
    expect(container?.env).toEqual([{ name: "GATEWAY_CONFIG", value: `${mount?.mountPath}/${file?.files?.[0]}` }]);
  });

  it("are the account that has an identity at Azure", () => {
    const accounts = manifests.filter(({ kind }) => kind === "ServiceAccount") as unknown as IServiceAccount[];
    expect(new Set(accounts.map(({ metadata }) => metadata?.name))).toEqual(new Set([pod?.spec?.serviceAccountName]));
    expect(accounts.flatMap(({ metadata }) => Object.keys(metadata?.annotations ?? {}))).toEqual([
      "azure.workload.identity/client-id",
    ]);
    expect(pod?.metadata?.labels).toMatchObject({ "azure.workload.identity/use": "true" });
    const subject = `system:serviceaccount:${namespace}:${pod?.spec?.serviceAccountName} `;
    expect(readFileSync("docs/guides/kubernetes.md", "utf8")).toContain(`--subject ${subject}`);
  });

  it("run the image that an installation names", () => {
    expect(images.map(({ name }) => name)).toEqual([container?.image]);
  });

  it("are given no variable that nothing reads, and the four secrets", () => {
    expect(unreadVariables([...Object.keys(settings), ...Object.keys(secrets)], config)).toEqual([]);
    expect(Object.keys(secrets).sort()).toEqual(["AUDIT_KEY", "DATABASE_URL", "REDIS_URL", "TOKEN_CACHE_KEY"]);
  });

  it("listen for the cluster, and believe the ingress", () => {
    const keys = Buffer.alloc(32, 1).toString("base64");
    const env = { ...settings, ...secrets, TOKEN_CACHE_KEY: keys, AUDIT_KEY: keys };
    const { server, store, redis } = loadConfig(config, env, "production");
    expect([server.host, server.admin.host, store.kind]).toEqual(["0.0.0.0", "0.0.0.0", "postgres"]);
    expect(redis).not.toBeNull();
    expect(server.publicUrl).toBe(settings.PUBLIC_URL);
    expect(server.proxies).toMatchObject({
      addresses: [settings.TRUSTED_PROXY],
      clientAddressHeader: "x-forwarded-for",
    });
  });
});

describe("the way in", () => {
  const route = find<IHTTPRoute>(manifests, "HTTPRoute").spec;
  const gateway = find<IGateway>(manifests, "Gateway", "my-ingress").spec;

  it("leads from the Gateway to the service, for GraphQL alone", () => {
    const { namespace: there } = readKustomization("ingress");
    const [listener] = gateway.listeners;
    expect(route?.parentRefs).toEqual([{ name: "my-ingress", namespace: there, sectionName: listener?.name }]);
    expect(route?.hostnames).toEqual([listener?.hostname]);
    expect(new URL(settings.PUBLIC_URL ?? "").hostname).toBe(listener?.hostname);
    expect(route?.rules?.map(({ matches }) => matches?.map(({ path }) => path))).toEqual([
      [{ type: "Exact", value: "/graphql" }],
    ]);
    const [{ port } = { port: 0 }] = ports("acs-token-gateway");
    expect(route?.rules?.[0]?.backendRefs).toEqual([{ name: "acs-token-gateway", port }]);
  });

  it("is outside the namespace whose pods have to fit the restricted profile, and takes its routes", () => {
    const { metadata } = find<INamespace>(manifests, "Namespace");
    expect(metadata?.labels).toMatchObject({ "pod-security.kubernetes.io/enforce": "restricted" });
    expect(metadata?.name).toBe(namespace);
    expect(readKustomization("ingress").namespace).not.toBe(namespace);
    expect(gateway.listeners[0]?.allowedRoutes?.namespaces).toEqual({
      from: "Selector",
      selector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
    });
  });

  it("out is to all of the internet's HTTPS, but not to the node's metadata service", () => {
    const { egress = [] } = find<INetworkPolicy>(manifests, "NetworkPolicy").spec ?? {};
    const web = egress.filter((rule) => rule.ports?.some(({ port }) => port === 443));
    expect(web.map(({ to }) => to)).toEqual([[{ ipBlock: { cidr: "0.0.0.0/0", except: ["169.254.0.0/16"] } }]]);
  });
});
