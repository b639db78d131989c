/**
 * Manifests held to Kubernetes' own OpenAPI schemas, as the `kubernetes-models` packages have them: their validators for
 * types, formats and what is required, and their TypeScript types for keys that do not exist, which the schemas let pass.
 */
import type { Manifest } from "./manifests.js";
import { typeCheck } from "./type-check.js";

/** Where an API group's models are, if not with Kubernetes' own. */
const PACKAGES: Readonly<Record<string, string>> = {
  "gateway.networking.k8s.io": "@kubernetes-models/gateway-api",
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
};

function modelOf({ apiVersion, kind }: Manifest): string {
  const [group = ""] = apiVersion.split("/");
  return `${PACKAGES[group] ?? "kubernetes-models"}/${apiVersion}/${kind}`;
}

/** One line for each fault, by set; all in one go, since the compiler takes seconds. Rejects for a kind without a model. */
export async function faultsIn<Name extends string>(
  sets: Readonly<Record<Name, readonly Manifest[]>>,
): Promise<Record<Name, string[]>> {
  const entries = Object.entries<readonly Manifest[]>(sets);
  const unknown = faultsByType(entries);
  const faults = entries.map(async ([name, manifests]) => {
    const invalid = await Promise.all(manifests.map(faultsBySchema));
    return [name, [...invalid.flat(), ...unknown.filter((line) => line.includes(`/${name}-`))]];
  });
  return Object.fromEntries(await Promise.all(faults)) as Record<Name, string[]>;
}

async function faultsBySchema(manifest: Manifest): Promise<string[]> {
  const { [manifest.kind]: Model } = (await import(modelOf(manifest))) as Record<
    string,
    (new (data: Manifest) => { validate(): void }) | undefined
  >;
  if (Model === undefined) throw new Error(`no model of ${manifest.apiVersion} ${manifest.kind}`);
  try {
    new Model(manifest).validate();
    return [];
  } catch (error) {
    return [`${nameOf(manifest)}: ${error instanceof Error ? error.message : String(error)}`];
  }
}

function faultsByType(sets: readonly (readonly [string, readonly Manifest[]])[]): string[] {
  const modules = sets.flatMap(([name, manifests]) =>
    manifests.map((manifest, index): [string, string] => [
      `${name}-${index}-${nameOf(manifest)}.ts`,
      `import type { I${manifest.kind} } from "${modelOf(manifest)}";\n` +
        `export const manifest: I${manifest.kind} = ${JSON.stringify(manifest, null, 2)};\n`,
    ]),
  );
  return typeCheck(Object.fromEntries(modules));
}

const nameOf = ({ kind, metadata }: Manifest) => `${kind}-${metadata.name}`;
