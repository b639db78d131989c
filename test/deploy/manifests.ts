/** The Kubernetes manifests as files, and as kubectl puts them together where there is one. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { parse, parseAllDocuments } from "yaml";

export const FOLDER = "deploy/kubernetes";
export const FOLDERS = ["base", "production", "ingress"];

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly [key: string]: unknown;
}

export interface Kustomization {
  readonly namespace?: string;
  readonly resources: readonly string[];
  readonly labels?: readonly { readonly pairs: Readonly<Record<string, string>> }[];
  readonly images?: readonly { readonly name: string }[];
  readonly configMapGenerator?: readonly {
    readonly name: string;
    readonly files?: readonly string[];
    readonly envs?: readonly string[];
  }[];
  readonly patches?: readonly { readonly path: string }[];
}

/** Every file of ours, with the labels that the base gives to all of its own. */
export function readManifests(): Manifest[] {
  return FOLDERS.flatMap((folder) => {
    const { labels = [] } = readKustomization(folder);
    const pairs = Object.assign({}, ...labels.map((label) => label.pairs)) as Record<string, string>;
    return manifestFiles(folder).flatMap((file) =>
      parseManifests(readFileSync(`${FOLDER}/${folder}/${file}`, "utf8")).map((manifest) => ({
        ...manifest,
        metadata: { ...manifest.metadata, labels: { ...pairs, ...manifest.metadata.labels } },
      })),
    );
  });
}

export function readKustomization(folder: string): Kustomization {
  return parse(readFileSync(`${FOLDER}/${folder}/kustomization.yaml`, "utf8")) as Kustomization;
}

/** Those that hold Kubernetes objects. */
export function manifestFiles(folder: string): string[] {
  return readdirSync(`${FOLDER}/${folder}`).filter(
    (file) => file.endsWith(".yaml") && !["kustomization.yaml", "gateway.yaml"].includes(file),
  );
}

function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text, { uniqueKeys: true }).map((document) => {
    if (document.errors[0]) throw document.errors[0];
    return document.toJS() as Manifest;
  });
}

export function find<Kind>(all: readonly Manifest[], kind: string, name = "acs-token-gateway"): Kind {
  const found = all.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  if (found === undefined) throw new Error(`no ${kind} ${name}`);
  return found as unknown as Kind;
}

export function readEnv(file: string): Record<string, string> {
  return parseEnv(readFileSync(`${FOLDER}/${file}`, "utf8")) as Record<string, string>;
}

const { status } = spawnSync("kubectl", ["version", "--client"]);
export const WHY_NO_KUBECTL = status === 0 ? "" : " (left out: there is no kubectl here)";

/** What `kubectl apply -k` would send for a folder. Throws with kubectl's own words. */
export function buildManifests(folder: string): Manifest[] {
  const built = spawnSync("kubectl", ["kustomize", `${FOLDER}/${folder}`], { encoding: "utf8" });
  if (built.status !== 0) throw new Error(built.stderr);
  return parseManifests(built.stdout);
}
