import { readFileSync } from "node:fs";

interface Manifest {
  readonly operations: readonly { readonly id: string; readonly name: string }[];
}

const FILE = new URL("../../schema/persisted-documents.json", import.meta.url);
const { operations } = JSON.parse(readFileSync(FILE, "utf8")) as Manifest;

/** By which the gateways know the operation of this name. */
export function documentId(name: string): string {
  const found = operations.find((operation) => operation.name === name);
  if (found === undefined) throw new Error(`there is no document ${name} in the manifest`);
  return found.id;
}
