/**
 * A manifest: the documents that one version of one app sends, by id. Two formats are known: Apollo's operation manifest
 * of version 1, and the flat map of ids and texts that the client preset of GraphQL Code Generator and Relay write.
 */
import { readFileSync } from "node:fs";
import { StartError } from "../errors.js";
import { parseStrictJson } from "../json.js";

export interface ManifestFile {
  /** As the configuration names it. */
  readonly file: string;
  readonly bytes: Uint8Array;
}

/** By id, without `sha256:` before it. */
export type Manifest = ReadonlyMap<string, string>;

const APOLLO = "apollo-persisted-query-manifest";
const CURE = "give Apollo's operation manifest of version 1, or a JSON object of ids and documents";

/** Throws a `StartError` when there is no such file. */
export function readManifestFile(file: string): ManifestFile {
  try {
    return { file, bytes: readFileSync(file) };
  } catch (error) {
    const { code = "unknown error" } = error as NodeJS.ErrnoException;
    const cure = "correct graphql.trustedDocuments.manifests; names are relative to the working directory";
    throw new StartError(`The manifest ${file} cannot be read (${code}): ${cure}.`, { cause: error });
  }
}

/** Throws a `StartError` for what is neither format. */
export function readManifest({ file, bytes }: ManifestFile): Manifest {
  const refuse = (why: string) => new StartError(`The manifest ${file} ${why}: ${CURE}.`);
  const value = parse(bytes, refuse);
  if (!isObject(value)) throw refuse("is not an object");
  const manifest = new Map<string, string>();
  for (const [name, text] of value.format === APOLLO ? apolloEntries(value, refuse) : Object.entries(value)) {
    if (typeof name !== "string" || typeof text !== "string") throw refuse("has another format");
    const id = bareId(name);
    if ((manifest.get(id) ?? text) !== text) throw twoTexts(id, [file]);
    manifest.set(id, text);
  }
  if (manifest.size === 0) throw refuse("has no documents");
  return manifest;
}

/** With `sha256:` before it or without, it is the same id (GraphQL over HTTP, Appendix A). */
export function bareId(id: string): string {
  return id.startsWith("sha256:") ? id.slice("sha256:".length) : id;
}

export function twoTexts(id: string, files: readonly string[]): StartError {
  const cure = "make the manifests anew, with ids that are hashes of the documents";
  return new StartError(`The id ${id} has two different documents in ${files.join(" and ")}: ${cure}.`);
}

type Refuse = (why: string) => StartError;

function parse(bytes: Uint8Array, refuse: Refuse): unknown {
  try {
    return parseStrictJson(bytes);
  } catch (error) {
    throw refuse(`cannot be read (${error instanceof Error ? error.message : "unknown error"})`);
  }
}

function apolloEntries({ version, operations }: Record<string, unknown>, refuse: Refuse): [unknown, unknown][] {
  if (version !== 1) throw refuse("has a version other than 1");
  if (!Array.isArray(operations)) throw refuse("has no list of operations");
  return operations.map((operation: unknown) => (isObject(operation) ? [operation.id, operation.body] : [null, null]));
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
